"""A task's log made for a model: the decisive error first, wherever it stands, then the end of the log."""

from __future__ import annotations

import anyio

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.errors import InvalidArgumentsError, NotFoundError
from airflow_mcp.tools.inner import InnerDoor
from airflow_mcp.tools.logs import LogScan
from airflow_mcp.tools.shape import dumps

_SECONDS = 120  # for the whole log; each silence is bounded by AIRFLOW_MCP_TIMEOUT besides
_PROGRESS_EVERY = 4 * 1024 * 1024  # bytes


async def run(door: InnerDoor, arguments: Json) -> Json:
    """Error, tail and line count of one try. Raises InvalidArgumentsError for a mapped task without its index."""
    ids = {name: arguments[name] for name in ("dag_id", "dag_run_id", "task_id")}
    if arguments.get("map_index", -1) >= 0:
        ids["map_index"] = arguments["map_index"]
    instance = await _instance(door, ids)
    latest = instance.get("try_number") or 0
    wanted = arguments.get("try_number", latest)
    facts = {
        "task_id": ids["task_id"],
        "map_index": ids.get("map_index"),
        "try_number": wanted,
        "state": instance.get("state"),
    }
    if wanted > latest or (wanted == 0 and latest):
        raise InvalidArgumentsError(f"read_task_log: try_number {wanted} does not exist; the latest try is {latest}.")
    if wanted == 0 and door.version.generation == "v1":
        return facts | {"hint": _never_started(instance)}
    scan = LogScan(door.version.generation)
    with anyio.move_on_after(_SECONDS) as clock:
        try:
            await _scan(door, ids | {"try_number": wanted}, scan)
        except NotFoundError:
            if wanted:
                raise
            return facts | {"hint": _never_started(instance)}
    scan.finish()
    return _answer(facts, scan, door.budget, door.ceiling, late=clock.cancelled_caught)


async def _instance(door: InnerDoor, ids: Json) -> Json:
    try:
        return await door.one("get_task_instance", **ids)
    except NotFoundError as error:
        if "map_index" in ids or "mapped" not in str(error):
            raise
    run_ids = {"dag_id": ids["dag_id"], "dag_run_id": ids["dag_run_id"]}
    failed, _ = await door.rows("list_task_instances", **run_ids, state=["failed"])
    indexes = [str(row["map_index"]) for row in failed if row["task_id"] == ids["task_id"]][:10]
    which = f"failed ones: {', '.join(indexes)}" if indexes else "none of them failed"
    raise InvalidArgumentsError(f"read_task_log: task {ids['task_id']!r} is mapped, so map_index is required; {which}.")


async def _scan(door: InnerDoor, ids: Json, scan: LogScan) -> None:
    told = 0
    async with door.stream("get_task_log", **ids) as pieces:
        async for piece in pieces:
            scan.feed(piece)
            if scan.size - told >= _PROGRESS_EVERY:
                told = scan.size
                await door.progress(scan.lines, None, f"{scan.lines} lines, {scan.size // 2**20} MB read")


def _answer(facts: Json, scan: LogScan, budget: int, ceiling: int, *, late: bool) -> Json:
    answer = facts | {"lines": scan.lines}
    if late:
        answer["hint"] = f"Stopped reading after {_SECONDS} seconds: later lines may hold another error."
    room = budget - len(dumps(answer)) - 120
    if scan.error:
        error = scan.error.render(room * 3 // 5)
        answer |= {"error": error, "error_at_line": scan.error.line}
        room -= len(dumps(error))
    shown = scan.end(room - 60)
    while shown and len(dumps("\n".join(shown))) > room - 40:
        shown = shown[1:]
    answer["tail"] = "\n".join(shown)
    if scan.lines > len(shown):
        answer |= {"left_out": scan.lines - len(shown), "next": {"max_chars": min(budget * 4, ceiling)}}
    return answer


def _never_started(instance: Json) -> str:
    return f"This task instance never started (state {instance.get('state') or 'none'}), so it has no log."
