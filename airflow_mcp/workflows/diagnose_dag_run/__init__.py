"""Diagnose why a DAG run failed: its failed task instances, the first cause in graph order, and what changed."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.gather import ReadResults, gather, list_errors
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.dispatch.operations.ui_links import add_timezone, read_link
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, AnswerLimitError, InvalidArgumentsError, NotFoundError
from airflow_mcp.workflows.diagnose_dag_run.differences import compare_runs, shorten_conf
from airflow_mcp.workflows.diagnose_dag_run.run_ending import explain_ending, read_events
from airflow_mcp.workflows.shared.evidence import ExecutorEvents, read_evidence
from airflow_mcp.workflows.shared.failed_tasks import (
    ErrorGroup,
    describe_errors,
    describe_rows,
    name_instances,
    order_by_graph,
)
from airflow_mcp.workflows.shared.log_sample import LogSample, identify_try, read_sample
from airflow_mcp.workflows.shared.paging import read_all_rows
from airflow_mcp.workflows.why_not_running.diagnosis import read_or_error

_SECONDS = 60  # for the whole answer
_MOST_ROWS = 300  # failed task instances that are looked at: 3 requests
_MOST_MAPPED = 1  # mapped tasks whose instances are counted: 2 requests
_MOST_TRIES = 2  # earlier tries of the first cause whose logs are read
_NAMES = 160  # characters of a list of task instances
_FAILED = ["failed", "up_for_retry"]
_UNFINISHED = ("running", "queued", "scheduled", "restarting", "up_for_reschedule", "deferred")


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Return facts of the run, `errors` (the first cause first), `upstream_failed`, `changed` and the `next` calls.

    Makes at most 12 requests, and more only for as long as logs bring causes that were not known.
    """
    context.limit_requests(seconds=arguments.get("timeout_seconds", _SECONDS))
    dag_run = await _find(context, arguments)
    ids = {"dag_id": dag_run["dag_id"], "dag_run_id": dag_run["dag_run_id"]}
    unfinished_states = [*_UNFINISHED, *(["awaiting_input"] if context.version >= (3, 3) else [])]
    results = await gather(
        failed=read_or_error(read_all_rows(context, "list_task_instances", _MOST_ROWS, **ids, state=_FAILED)),
        tasks=context.read_rows("list_tasks", dag_id=ids["dag_id"]),
        behind=context.read_rows("list_task_instances", **ids, state=["upstream_failed"]),
        unfinished=context.read_rows("list_task_instances", **ids, state=unfinished_states),
        success=_find_last_success(context, dag_run),
    )
    failed_rows, count = _take_failed(results)
    graph = {row["task_id"]: row.get("downstream_task_ids") or [] for row in results.get("tasks", ([], 0))[0]}
    events = ExecutorEvents(context, **ids)
    linked_row = _find_linked(context, arguments, failed_rows)
    sample = await read_sample(context, ids, order_by_graph(failed_rows, graph), linked_row, events)
    groups = sample.groups
    unread_rows = [row for row in failed_rows if row not in sample.read]
    needs_events = groups[0].died if groups else dag_run["state"] == "failed"
    reads: dict[str, Awaitable[Any]] = {"events": read_events(context, ids)} if needs_events else {}
    if not failed_rows and "failed" in results.values:
        reads["no_cause"] = explain_ending(context, ids, dag_run)
    follow_ups = await gather(**reads)
    siblings = {} if context.hides else await _count_siblings(context, ids, groups)
    answer: Json = {
        **{name: dag_run.get(name) for name in ("dag_id", "dag_run_id", "state", "run_type", "start_date", "end_date")},
        "hint": _describe_other_host(context, arguments),
        "conf": shorten_conf(dag_run.get("conf") or {}) or None,
        "failed": describe_rows(failed_rows, count),
        "upstream_failed": describe_rows(*results.get("behind", ([], 0))),
        "unfinished": describe_rows(*results.get("unfinished", ([], 0))),
        "errors": None,
        "not_read": _describe_unread(unread_rows, count - len(failed_rows), sample),
        "earlier_tries": await _describe_earlier_tries(context, ids, groups[0]) if groups else None,
        "events": follow_ups.get("events"),
        "no_cause": follow_ups.get("no_cause"),
        "changed": _compare_success(dag_run, results),
        "next": _advise(ids, groups, dag_run) or None,
        "not_seen": list_errors(results.errors | follow_ups.errors) or None,
    }
    return answer | {"errors": describe_errors(groups, context.budget - len(dumps(answer)) - 40, siblings) or None}


async def _find(context: WorkflowContext, arguments: Json) -> Json:
    """Find the run asked for, or the latest failed one, or else the latest.

    Raises InvalidArgumentsError for a link to no DAG or to another one, and NotFoundError where there is no such run.
    """
    link = read_link(arguments["url"], context.url).ids if "url" in arguments else {}
    dag_id = arguments.get("dag_id") or link.get("dag_id")
    if link and dag_id != link.get("dag_id"):
        raise InvalidArgumentsError("diagnose_dag_run: the link is about another DAG than dag_id. Give one of them.")
    if dag_id is None:
        error = InvalidArgumentsError("diagnose_dag_run: this link names no DAG.")
        raise error.advise(next_call("resolve_url", "says what it is about", url=arguments["url"]))
    if run_id := arguments.get("dag_run_id") or link.get("dag_run_id"):
        return await context.read_record("get_dag_run", dag_id=dag_id, dag_run_id=run_id)
    if moment := link.get("logical_date"):  # a link of 2.x may name a run by its date alone
        moment = add_timezone(moment)
        rows, _ = await context.read_rows(
            "list_dag_runs", dag_id=dag_id, logical_date_gte=moment, logical_date_lte=moment
        )
        if not rows:
            raise NotFoundError(f"DAG {dag_id!r} has no run of {moment}, which the link names.", 404)
        return rows[0]
    for filters in ({"state": ["failed"]}, {}):
        rows, _ = await context.read_rows("list_dag_runs", dag_id=dag_id, limit=1, **filters)
        if rows:
            return rows[0]
    error = NotFoundError(f"DAG {dag_id!r} has no run yet.", 404)
    raise error.advise(next_call("why_not_running", "says why", dag_id=dag_id))


def _describe_other_host(context: WorkflowContext, arguments: Json) -> str | None:
    """Describe a link that leads to another address than this Airflow's; None for any other."""
    return read_link(arguments["url"], context.url).describe_other_host(context.url) if "url" in arguments else None


def _find_linked(context: WorkflowContext, arguments: Json, failed: list[Json]) -> Json | None:
    """Find the failed task instance that the link is about, if it is about one: its log is always read."""
    link = read_link(arguments["url"], context.url).ids if "url" in arguments else {}
    linked_key = (link.get("task_id"), link.get("map_index"))
    return next((row for row in failed if (row["task_id"], row.get("map_index")) == linked_key), None)


async def _find_last_success(context: WorkflowContext, dag_run: Json) -> Json | None:
    """Find the latest successful run before this one, if there is any."""
    bound = "logical_date" if context.version.generation == "v1" else "run_after"  # 3.x: a run may have no logical date
    before = {f"{bound}_lte": dag_run[bound]} if dag_run.get(bound) else {}
    rows, _ = await context.read_rows("list_dag_runs", dag_id=dag_run["dag_id"], state=["success"], limit=1, **before)
    return rows[0] if rows else None


def _take_failed(seen: ReadResults) -> tuple[list[Json], int]:
    """Return the failed task instances that were read, and their total number.

    Raises the error of the read, since there is no answer without them. Only a lack of time is moved to the errors in
    `seen`, which the answer lists.
    """
    outcome = seen.values["failed"]
    if isinstance(outcome, AnswerLimitError):
        seen.errors["failed task instances"] = str(seen.values.pop("failed"))
        return [], 0
    if isinstance(outcome, AirflowMcpError):
        raise outcome
    return outcome


async def _count_siblings(context: WorkflowContext, ids: Json, groups: list[ErrorGroup]) -> dict[str, str]:
    """Count how many instances of the first errors' mapped tasks succeeded: {"load": "6 of 8 succeeded"}.

    Makes a request for each task, and one more where a page does not hold all.
    """
    mapped_task_ids = [
        row["task_id"] for group in groups for row in group.instances if row.get("map_index") is not None
    ]
    tasks = list(dict.fromkeys(mapped_task_ids))[:_MOST_MAPPED]
    results = await gather(**{task: _count_successes(context, ids | {"task_id": task}) for task in tasks})
    return {task: f"{successes} of {total} succeeded" for task, (successes, total) in results.values.items()}


async def _count_successes(context: WorkflowContext, ids: Json) -> tuple[int, int]:
    rows, total = await context.read_rows("list_mapped_task_instances", **ids)
    if total > len(rows):
        _, successes = await context.read_rows("list_mapped_task_instances", **ids, state=["success"], limit=1)
        return successes, total
    return sum(row.get("state") == "success" for row in rows), total


async def _describe_earlier_tries(context: WorkflowContext, ids: Json, first: ErrorGroup) -> list[str] | None:
    """Describe the tries of the first failed task instance that ended in another error than its last one."""
    row = first.instances[0]
    tries = range(max(1, (row.get("try_number") or 1) - _MOST_TRIES), row.get("try_number") or 1)
    results = await gather(
        **{f"try {number}": read_evidence(context, ids | identify_try(row, number), size=0) for number in tries}
    )
    descriptions = [
        f"{name}: {error.what}" for name, error in sorted(results.values.items()) if error.what != first.what
    ]
    return [*descriptions, *(f"{name} could not be read: {reason}" for name, reason in results.errors.items())] or None


def _compare_success(dag_run: Json, seen: ReadResults) -> Json | None:
    """Compare the run with the last success; None for a run that succeeded itself."""
    is_comparable = "success" in seen.values and dag_run["state"] != "success"
    return compare_runs(dag_run, seen.values["success"]) if is_comparable else None


def _describe_unread(rows: list[Json], beyond: int, sample: LogSample) -> str | None:
    """Describe the failed task instances without a read log, `beyond` more, and the doubt that this leaves."""
    parts = [name_instances(rows, _NAMES)] if rows else []
    parts += (
        [f"{beyond} more failed task instances" if rows else f"{beyond} failed task instances"] if beyond > 0 else []
    )
    return f"{' and '.join(parts)}: their logs were not read, {sample.describe_doubt()}" if parts else None


def _advise(ids: Json, groups: list[ErrorGroup], dag_run: Json) -> list[NextCall]:
    """Advise the calls that an operator would make next."""
    calls: list[NextCall] = []
    if groups:
        first = identify_try(groups[0].instances[0])
        calls.append(next_call("read_task_log", "shows the log of the first cause", **ids, **first))
    conf = dag_run.get("conf") or {}
    if shorten_conf(conf) != conf:
        calls.append(next_call("get_dag_run", "shows the whole conf", **ids))
    if dag_run["state"] in ("queued", "running"):
        calls.append(next_call("why_not_running", "says what it waits for", **ids))
    if dag_run["state"] == "failed":
        calls.append(next_call("clear_task_instances", "shows what would run again: those that failed", **ids))
    return calls
