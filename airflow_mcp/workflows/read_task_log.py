"""A task's log made for a model: the decisive error first and then the log's end, or the part that was asked for."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.errors import InvalidArgumentsError, NotFoundError
from airflow_mcp.task_logs.cause import Cause
from airflow_mcp.task_logs.excerpt import Verdict, describe, lines_before, one_line
from airflow_mcp.task_logs.log_tail import cost
from airflow_mcp.task_logs.log_window import FILTERS, WindowRequest, read_request
from airflow_mcp.task_logs.scan import LogScan, WindowScan
from airflow_mcp.workflows.shared.evidence import last_words
from airflow_mcp.workflows.shared.failed_tasks import rendered_name
from airflow_mcp.workflows.shared.log_stream import FORMS, SECONDS, read_log

_FAILED = ("failed", "up_for_retry")
_WENT_WELL = ("success", "skipped", "up_for_reschedule", "deferred")
_FRAME = 130  # characters of what stands around the lines: their name, left_out, more with its cursor


async def run(door: InnerDoor, arguments: Json) -> Json:
    """What one try's log says. Raises InvalidArgumentsError for a mapped task without its index, and a bad filter."""
    ids = {name: arguments[name] for name in ("dag_id", "dag_run_id", "task_id")}
    if arguments.get("map_index", -1) >= 0:
        ids["map_index"] = arguments["map_index"]
    read_request(ids, {name: arguments[name] for name in FILTERS if name in arguments})  # a bad one costs no request
    instance = await _instance(door, ids)
    latest = instance.get("try_number") or 0
    number = arguments.get("try_number", latest)
    ids["try_number"] = number
    facts: Json = {
        "task_id": ids["task_id"],
        "map_index": ids.get("map_index"),
        "rendered_map_index": rendered_name(instance) or None,
        "try_number": number,
        "tries": latest if latest > 1 else None,
        "state": instance.get("state"),
    }
    if number > latest or (number == 0 and latest):
        raise InvalidArgumentsError(f"read_task_log: try_number {number} does not exist; the latest try is {latest}.")
    if number == 0 and (door.version.generation == "v1" or facts["state"] == "upstream_failed"):
        return facts | {"hint": await _never_started(door, ids, instance)}
    wish = read_request(ids, arguments)
    room = door.budget - len(dumps(facts)) - _FRAME
    try:
        if any(name in arguments for name in ("from", "cursor", *FILTERS)):
            return facts | await _part(door, ids, wish, room)
        return facts | await _story(door, ids, wish, room, facts["state"] if number == latest else None)
    except NotFoundError:
        if number:
            raise
        return facts | {"hint": await _never_started(door, ids, instance)}


async def _part(door: InnerDoor, ids: Json, wish: WindowRequest, room: int) -> Json:
    """The lines that were asked for, and how to get on."""
    scan = WindowScan(FORMS[door.version.generation], wish, room - 60)
    whole = await read_log(door, ids, scan)
    shown, left, cursor = scan.window.result()
    answer: Json = {"lines": scan.lines}
    if not whole:
        answer["hint"] = _too_long()
    if wish.filtered:
        answer["matched"] = scan.window.matched
    answer |= {"shown": shown.covered, "log": "\n".join(shown.lines)}
    return answer | ({"left_out": left, "more": {"cursor": cursor}} if cursor else {})


async def _story(door: InnerDoor, ids: Json, wish: WindowRequest, room: int, state: str | None) -> Json:
    """Why it failed, if it did, and the end of the log. `state` is None for an earlier try, whose end is not known."""
    scan = LogScan(FORMS[door.version.generation], room)
    answer: Json = {}
    if not await read_log(door, ids, scan):
        answer["hint"] = _too_long()
    told = scan.verdict
    if state in _WENT_WELL:
        told = Verdict(None, Cause())
        if scan.scanner.errors:
            answer["hint"] = f"It did not fail. {scan.scanner.errors} records say error."
            answer["next"] = [next_call("read_task_log", "shows these records", **ids, level="error")]
    elif told.silent:  # only of a try that is known to have failed may be said that it died
        told = replace(told, sentence=(await last_words(door, ids) or told.sentence) if state in _FAILED else "")
    if told.sentence:
        answer["verdict"] = told.sentence
    if told.text:
        size = room // 2
        while cost([error := describe(told, size)]) > room * 3 // 5 and size > 100:
            size = size * 2 // 3  # what is written escaped takes more room
        line = one_line(told)
        if line not in error and line != told.sentence:
            answer["cause"] = line
        answer |= {"error": error, "error_at_line": told.line}
    room -= len(dumps(answer)) + 12
    shown = scan.end(room)
    if told.line < shown.first and (before := lines_before(told, room // 3, scan.show)):
        answer["before_error"] = before
        shown = scan.end(room - len(dumps(before)) - 17)
    answer |= {"tail": "\n".join(shown.lines), "lines": scan.lines, "printed": scan.printed}
    if scan.lines > shown.covered:
        answer |= {"left_out": scan.lines - shown.covered, "more": {"cursor": wish.cursor(shown.first)}}
    return answer


async def _instance(door: InnerDoor, ids: Json) -> Json:
    try:
        return await door.one("get_task_instance", **ids)
    except NotFoundError as error:
        if "map_index" in ids or "mapped" not in str(error):
            raise
    failed = await _failed(door, ids)
    indexes = [str(row["map_index"]) for row in failed if row["task_id"] == ids["task_id"]][:10]
    which = f"failed ones: {', '.join(indexes)}" if indexes else "none of them failed"
    error = InvalidArgumentsError(
        f"read_task_log: task {ids['task_id']!r} is mapped, so map_index is required; {which}."
    )
    raise error.advise(
        *(next_call("read_task_log", "is of the first that failed", **ids, map_index=int(one)) for one in indexes[:1])
    )


async def _failed(door: InnerDoor, ids: Json) -> list[Json]:
    """Failed task instances of the run, one page."""
    rows, _ = await door.rows(
        "list_task_instances", dag_id=ids["dag_id"], dag_run_id=ids["dag_run_id"], state=["failed"]
    )
    return rows


def _too_long() -> str:
    return f"Stopped reading after {SECONDS} seconds: what comes later is not in this."


async def _never_started(door: InnerDoor, ids: Json, instance: Json) -> str:
    state = instance.get("state") or "none"
    hint = f"This task instance never started (state {state}), so it has no log."
    if state == "upstream_failed":
        names = list(dict.fromkeys(str(row["task_id"]) for row in await _failed(door, ids)))
        hint += f" Failed in this run: {', '.join(names[:5])}{' and more' if names[5:] else ''}." if names else ""
    return hint
