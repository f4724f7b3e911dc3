"""Read a task's log for a model: the decisive error and then the end of the log, or the requested part of it."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import InvalidArgumentsError, NotFoundError
from airflow_mcp.task_logs.cause import Cause
from airflow_mcp.task_logs.failure_text import FailureVerdict, describe, describe_in_line, render_lines_before
from airflow_mcp.task_logs.log_scan import LogScan, WindowScan
from airflow_mcp.task_logs.log_tail import measure_cost
from airflow_mcp.task_logs.log_window import FILTERS, WindowRequest, read_request
from airflow_mcp.workflows.shared.evidence import explain_give_up
from airflow_mcp.workflows.shared.failed_tasks import read_rendered_name
from airflow_mcp.workflows.shared.log_stream import FORMS, SECONDS, read_log

_FAILED = ("failed", "up_for_retry")
_NOT_FAILED = ("success", "skipped", "up_for_reschedule", "deferred")
_FRAME = 130  # characters around the lines: their key, left_out, and more with its cursor


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Describe the log of one try.

    Raises InvalidArgumentsError for a mapped task without its index, for a try that does not exist and a bad filter.
    """
    ids = {name: arguments[name] for name in ("dag_id", "dag_run_id", "task_id")}
    if arguments.get("map_index", -1) >= 0:
        ids["map_index"] = arguments["map_index"]
    # Checked first, so that a bad filter costs no request.
    read_request(ids, {name: arguments[name] for name in FILTERS if name in arguments})
    instance = await _read_instance(context, ids)
    latest = instance.get("try_number") or 0
    number = arguments.get("try_number", latest)
    ids["try_number"] = number
    facts: Json = {
        "task_id": ids["task_id"],
        "map_index": ids.get("map_index"),
        "rendered_map_index": read_rendered_name(instance) or None,
        "try_number": number,
        "tries": latest if latest > 1 else None,
        "state": instance.get("state"),
    }
    if number > latest or (number == 0 and latest):
        raise InvalidArgumentsError(f"read_task_log: try_number {number} does not exist; the latest try is {latest}.")
    if number == 0 and (context.version.generation == "v1" or facts["state"] == "upstream_failed"):
        return facts | {"hint": await _explain_no_start(context, ids, instance)}
    request = read_request(ids, arguments)
    remaining_budget = context.budget - len(dumps(facts)) - _FRAME
    try:
        if any(name in arguments for name in ("from", "cursor", *FILTERS)):
            return facts | await _read_window(context, ids, request, remaining_budget)
        return facts | await _describe_try(
            context, ids, request, remaining_budget, facts["state"] if number == latest else None
        )
    except NotFoundError:
        if number:
            raise
        return facts | {"hint": await _explain_no_start(context, ids, instance)}


async def _read_window(context: WorkflowContext, ids: Json, request: WindowRequest, budget: int) -> Json:
    """Return the requested lines, and the cursor to continue with."""
    scan = WindowScan(FORMS[context.version.generation], request, budget - 60)
    is_complete = await read_log(context, ids, scan)
    excerpt, left_out_count, cursor = scan.window.get_result()
    answer: Json = {"lines": scan.lines}
    if not is_complete:
        answer["hint"] = _describe_timeout()
    if request.has_filters:
        answer["matched"] = scan.window.matched
    answer |= {"shown": excerpt.covered, "log": "\n".join(excerpt.lines)}
    return answer | ({"left_out": left_out_count, "more": {"cursor": cursor}} if cursor else {})


async def _describe_try(
    context: WorkflowContext, ids: Json, request: WindowRequest, budget: int, state: str | None
) -> Json:
    """Describe why the try failed, if it did, and show the end of its log.

    `state` is None for an earlier try, whose final state is not known.
    """
    scan = LogScan(FORMS[context.version.generation], budget)
    answer: Json = {}
    if not await read_log(context, ids, scan):
        answer["hint"] = _describe_timeout()
    verdict = scan.verdict
    if state in _NOT_FAILED:
        verdict = FailureVerdict(None, Cause())
        if scan.scanner.errors:
            answer["hint"] = f"It did not fail. {scan.scanner.errors} records say error."
            answer["next"] = [next_call("read_task_log", "shows these records", **ids, level="error")]
    elif verdict.silent:  # only a try that is known to have failed may be said to have died
        verdict = replace(
            verdict, sentence=(await explain_give_up(context, ids) or verdict.sentence) if state in _FAILED else ""
        )
    if verdict.sentence:
        answer["verdict"] = verdict.sentence
    if verdict.text:
        size = budget // 2
        while measure_cost([error := describe(verdict, size)]) > budget * 3 // 5 and size > 100:
            size = size * 2 // 3  # escaped characters take more room
        line = describe_in_line(verdict)
        if line not in error and line != verdict.sentence:
            answer["cause"] = line
        answer |= {"error": error, "error_at_line": verdict.line}
    budget -= len(dumps(answer)) + 12
    tail = scan.render_end(budget)
    if verdict.line < tail.first and (before := render_lines_before(verdict, budget // 3, scan.show)):
        answer["before_error"] = before
        tail = scan.render_end(budget - len(dumps(before)) - 17)
    answer |= {"tail": "\n".join(tail.lines), "lines": scan.lines, "printed": scan.printed}
    if scan.lines > tail.covered:
        answer |= {"left_out": scan.lines - tail.covered, "more": {"cursor": request.cursor(tail.first)}}
    return answer


async def _read_instance(context: WorkflowContext, ids: Json) -> Json:
    try:
        return await context.read_record("get_task_instance", **ids)
    except NotFoundError as error:
        if "map_index" in ids or "mapped" not in str(error):
            raise
    failed_instances = await _read_failed(context, ids)
    indexes = [str(row["map_index"]) for row in failed_instances if row["task_id"] == ids["task_id"]][:10]
    index_hint = f"failed ones: {', '.join(indexes)}" if indexes else "none of them failed"
    error = InvalidArgumentsError(
        f"read_task_log: task {ids['task_id']!r} is mapped, so map_index is required; {index_hint}."
    )
    raise error.advise(
        *(
            next_call("read_task_log", "is of the first that failed", **ids, map_index=int(index))
            for index in indexes[:1]
        )
    )


async def _read_failed(context: WorkflowContext, ids: Json) -> list[Json]:
    """Return the failed task instances of the run, one page of them."""
    rows, _ = await context.read_rows(
        "list_task_instances", dag_id=ids["dag_id"], dag_run_id=ids["dag_run_id"], state=["failed"]
    )
    return rows


def _describe_timeout() -> str:
    return f"Stopped reading after {SECONDS} seconds: what comes later is not in this."


async def _explain_no_start(context: WorkflowContext, ids: Json, instance: Json) -> str:
    state = instance.get("state") or "none"
    hint = f"This task instance never started (state {state}), so it has no log."
    if state == "upstream_failed":
        names = list(dict.fromkeys(str(row["task_id"]) for row in await _read_failed(context, ids)))
        hint += f" Failed in this run: {', '.join(names[:5])}{' and more' if names[5:] else ''}." if names else ""
    return hint
