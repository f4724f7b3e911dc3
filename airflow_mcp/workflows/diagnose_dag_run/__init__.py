"""Why a DAG run failed: every failed task instance, the first cause in graph order, its error, and what changed."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.gather import Seen, list_unseen, look, together
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.dispatch.operations.ui_links import read_link, zoned
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError, NotFoundError
from airflow_mcp.task_logs import DecisiveError
from airflow_mcp.workflows.diagnose_dag_run.differences import brief_conf, compare_runs
from airflow_mcp.workflows.diagnose_dag_run.run_ending import events_of, without_failure
from airflow_mcp.workflows.shared.evidence import read_evidence
from airflow_mcp.workflows.shared.failed_tasks import Alike, by_graph, errors_told, named, names, to_read, with_row
from airflow_mcp.workflows.shared.paging import all_rows

_MOST_ROWS = 1_000  # failed task instances that are looked at
_MOST_LOGS = 24  # of them whose logs are read
_MOST_MAPPED = 2  # mapped tasks whose instances are counted
_MOST_TRIES = 2  # earlier tries of the first cause whose logs are read
_EXCERPT = 1_200  # characters of the first error's excerpt; the others share what is left
_NAMES = 160  # characters of a list of task instances
_FAILED = ["failed", "up_for_retry"]
_UNFINISHED = ("running", "queued", "scheduled", "restarting", "up_for_reschedule", "deferred")


async def run(door: InnerDoor, arguments: Json) -> Json:
    """Facts of the run, `errors` (the first cause first), `upstream_failed`, `changed` and the `next` calls."""
    dag_run = await _find(door, arguments)
    ids = {"dag_id": dag_run["dag_id"], "dag_run_id": dag_run["dag_run_id"]}
    unfinished = [*_UNFINISHED, *(["awaiting_input"] if door.version >= (3, 3) else [])]
    parts: list[Any] = await together(
        [
            all_rows(door, "list_task_instances", _MOST_ROWS, **ids, state=_FAILED),
            look(
                behind=door.rows("list_task_instances", **ids, state=["upstream_failed"]),
                unfinished=door.rows("list_task_instances", **ids, state=unfinished),
                tasks=door.rows("list_tasks", dag_id=ids["dag_id"]),
                success=_last_success(door, dag_run),
            ),
        ]
    )
    (failed, count), seen = parts
    graph = {row["task_id"]: row.get("downstream_task_ids") or [] for row in seen.get("tasks", ([], 0))[0]}
    read = to_read(by_graph(failed, graph), _MOST_LOGS)
    if linked := _linked(door, arguments, failed):
        read = with_row(read, linked)
    groups = await _group(door, ids, read)
    unread = [row for row in failed if row not in read]
    silent = groups[0].died if groups else dag_run["state"] == "failed"
    reads: dict[str, Awaitable[Any]] = {"events": events_of(door, ids)} if silent else {}
    more = await look(**reads, **({} if groups else {"no_cause": without_failure(door, ids, dag_run)}))
    siblings = {} if door.hides else await _siblings(door, ids, groups)
    answer: Json = {
        **{name: dag_run.get(name) for name in ("dag_id", "dag_run_id", "state", "run_type", "start_date", "end_date")},
        "hint": _elsewhere(door, arguments),
        "conf": brief_conf(dag_run.get("conf") or {}) or None,
        "failed": named(failed, count),
        "upstream_failed": named(*seen.get("behind", ([], 0))),
        "unfinished": named(*seen.get("unfinished", ([], 0))),
        "errors": None,
        "not_read": _not_read(unread, count - len(failed)),
        "earlier_tries": await _earlier_tries(door, ids, groups[0]) if groups else None,
        "events": more.get("events"),
        "no_cause": more.get("no_cause"),
        "changed": _changed(dag_run, seen),
        "next": _next(ids, groups, dag_run) or None,
        "not_seen": list_unseen(seen.unseen | more.unseen) or None,
    }
    return answer | {"errors": errors_told(groups, door.budget - len(dumps(answer)) - 40, siblings) or None}


async def _find(door: InnerDoor, arguments: Json) -> Json:
    """The run asked for, or the latest failed one, or else the latest. Raises InvalidArgumentsError for a link."""
    link = read_link(arguments["url"], door.url).ids if "url" in arguments else {}
    dag_id = arguments.get("dag_id") or link.get("dag_id")
    if link and dag_id != link.get("dag_id"):
        raise InvalidArgumentsError("diagnose_dag_run: the link is about another DAG than dag_id. Give one of them.")
    if dag_id is None:
        error = InvalidArgumentsError("diagnose_dag_run: this link names no DAG.")
        raise error.advise(next_call("resolve_url", "says what it is about", url=arguments["url"]))
    if run_id := arguments.get("dag_run_id") or link.get("dag_run_id"):
        return await door.one("get_dag_run", dag_id=dag_id, dag_run_id=run_id)
    if moment := link.get("logical_date"):  # a link of 2.x may name a run by its date alone
        moment = zoned(moment)
        rows, _ = await door.rows("list_dag_runs", dag_id=dag_id, logical_date_gte=moment, logical_date_lte=moment)
        if not rows:
            raise NotFoundError(f"DAG {dag_id!r} has no run of {moment}, which the link names.", 404)
        return rows[0]
    for asked in ({"state": ["failed"]}, {}):
        rows, _ = await door.rows("list_dag_runs", dag_id=dag_id, limit=1, **asked)
        if rows:
            return rows[0]
    error = NotFoundError(f"DAG {dag_id!r} has no run yet.", 404)
    raise error.advise(next_call("why_not_running", "says why", dag_id=dag_id))


def _elsewhere(door: InnerDoor, arguments: Json) -> str | None:
    """What to say of a link that leads to another address than this Airflow's."""
    return read_link(arguments["url"], door.url).elsewhere(door.url) if "url" in arguments else None


def _linked(door: InnerDoor, arguments: Json, failed: list[Json]) -> Json | None:
    """The failed task instance that a link is about, if it is about one: its log is read whatever else is."""
    link = read_link(arguments["url"], door.url).ids if "url" in arguments else {}
    meant = (link.get("task_id"), link.get("map_index"))
    return next((row for row in failed if (row["task_id"], row.get("map_index")) == meant), None)


async def _last_success(door: InnerDoor, dag_run: Json) -> Json | None:
    """The latest successful run before this one, if there is any."""
    bound = "logical_date" if door.version.generation == "v1" else "run_after"  # 3.x: a run may have no logical date
    before = {f"{bound}_lte": dag_run[bound]} if dag_run.get(bound) else {}
    rows, _ = await door.rows("list_dag_runs", dag_id=dag_run["dag_id"], state=["success"], limit=1, **before)
    return rows[0] if rows else None


async def _group(door: InnerDoor, ids: Json, rows: list[Json]) -> list[Alike]:
    """The errors of these task instances, in their order, each with everyone who shares it."""
    told = 0

    async def read(row: Json) -> DecisiveError | AirflowMcpError:
        nonlocal told
        try:
            return await read_evidence(door, ids | _task(row), size=_EXCERPT)
        except AirflowMcpError as error:
            return error
        finally:
            told += 1
            await door.progress(told, len(rows), f"{told} of {len(rows)} logs read")

    groups: dict[str, Alike] = {}
    for row, found in zip(rows, await together(read(row) for row in rows), strict=True):
        if isinstance(found, AirflowMcpError):
            group = groups.setdefault(str(found), Alike(f"Its log could not be read: {found}", "", died=False))
        else:
            group = groups.setdefault(found.key, Alike(found.what, found.excerpt, found.died))
            group.lines.append(found.what)
            group.looked_at = group.looked_at or _looked_at(row, found)
        group.instances.append(row)
    return list(groups.values())


def _looked_at(row: Json, found: DecisiveError) -> str:
    """What a group's first member was judged by: "log of load[3], try 2: 44 lines, 0 printed by the task"."""
    which = f"log of {names([row], _NAMES)}, try {row.get('try_number') or 0}"
    return f"{which}: {found.lines} lines, {found.printed} printed by the task"


async def _siblings(door: InnerDoor, ids: Json, groups: list[Alike]) -> dict[str, str]:
    """How many instances succeeded of the mapped tasks of the first errors: {"load": "6 of 8 succeeded"}.

    A request for each, and one more where a page does not hold all.
    """
    mapped = [row["task_id"] for group in groups for row in group.instances if row.get("map_index") is not None]
    tasks = list(dict.fromkeys(mapped))[:_MOST_MAPPED]
    seen = await look(**{task: _count_successes(door, ids | {"task_id": task}) for task in tasks})
    return {task: f"{successes} of {total} succeeded" for task, (successes, total) in seen.values.items()}


async def _count_successes(door: InnerDoor, ids: Json) -> tuple[int, int]:
    rows, total = await door.rows("list_mapped_task_instances", **ids)
    if total > len(rows):
        _, successes = await door.rows("list_mapped_task_instances", **ids, state=["success"], limit=1)
        return successes, total
    return sum(row.get("state") == "success" for row in rows), total


async def _earlier_tries(door: InnerDoor, ids: Json, first: Alike) -> list[str] | None:
    """Tries of the first failed task instance that ended in another error than its last one."""
    row = first.instances[0]
    tries = range(max(1, (row.get("try_number") or 1) - _MOST_TRIES), row.get("try_number") or 1)
    seen = await look(**{f"try {one}": read_evidence(door, ids | _task(row, one), size=0) for one in tries})
    others = [f"{name}: {found.what}" for name, found in sorted(seen.values.items()) if found.what != first.what]
    return [*others, *(f"{name} could not be read: {why}" for name, why in seen.unseen.items())] or None


def _changed(dag_run: Json, seen: Seen) -> Json | None:
    """What is different from the last success; nothing to say of a success itself."""
    told = "success" in seen.values and dag_run["state"] != "success"
    return compare_runs(dag_run, seen.values["success"]) if told else None


def _not_read(rows: list[Json], beyond: int) -> str | None:
    """Failed task instances whose logs were not read, and `beyond` these."""
    parts = [names(rows, _NAMES)] if rows else []
    parts += (
        [f"{beyond} more failed task instances" if rows else f"{beyond} failed task instances"] if beyond > 0 else []
    )
    return f"{' and '.join(parts)}: their logs were not read, so they may hold other errors" if parts else None


def _task(row: Json, try_number: int | None = None) -> Json:
    index = {} if row.get("map_index") is None else {"map_index": row["map_index"]}
    return {"task_id": row["task_id"], "try_number": try_number or row.get("try_number") or 0, **index}


def _next(ids: Json, groups: list[Alike], dag_run: Json) -> list[NextCall]:
    """The calls that an operator would make now."""
    calls: list[NextCall] = []
    if groups:
        first = _task(groups[0].instances[0])
        calls.append(next_call("read_task_log", "shows the log of the first cause", **ids, **first))
    conf = dag_run.get("conf") or {}
    if brief_conf(conf) != conf:
        calls.append(next_call("get_dag_run", "shows the whole conf", **ids))
    if dag_run["state"] in ("queued", "running"):
        calls.append(next_call("why_not_running", "says what it waits for", **ids))
    if dag_run["state"] == "failed":
        calls.append(next_call("clear_task_instances", "shows what would run again: those that failed", **ids))
    return calls
