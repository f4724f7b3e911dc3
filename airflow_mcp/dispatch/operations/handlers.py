"""Handlers that add fields to the rows of a read that Airflow does not answer itself: one for each `after`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.dispatch.call import Call
from airflow_mcp.dispatch.operations.backfill_dates import compare_dates
from airflow_mcp.dispatch.operations.event_changes import describe_changes
from airflow_mcp.dispatch.operations.executor import PAGE, OperationExecutor
from airflow_mcp.dispatch.operations.field_types import conform
from airflow_mcp.dispatch.operations.result import OperationResult
from airflow_mcp.errors import AirflowMcpError
from airflow_mcp.policy.decision import ParentCall, decide
from airflow_mcp.policy.effects import Effect
from airflow_mcp.text import join_names

_MOST_REQUESTS = 8  # requests for the latest runs of one page of DAGs
_MOST_PAGES = 5  # pages of the existing runs of a backfill's dates
_MOST_NAMES = 5
_SOME_EVENTS = (
    "event",
    "included_events",
    "excluded_events",
    "owner",
    "task_id",
    "map_index",
)  # filters that leave gaps


@dataclass(frozen=True)
class Read:
    """One read: its executor, its call, and the parent call under which policy decides."""

    executor: OperationExecutor
    call: Call
    parent: ParentCall | None


@dataclass(frozen=True)
class Handler:
    """A function of a read and its reply, with the fields that it adds to each row and those that it needs."""

    function: Callable[[Read, OperationResult], Awaitable[OperationResult]]
    adds: tuple[str, ...]
    needs: tuple[str, ...] = ()


async def add_changes(read: Read, reply: OperationResult) -> OperationResult:
    """Add to each row of the audit log the change that it reports."""
    rows = reply.rows or []
    changes = describe_changes(
        [conform(row) for row in rows], is_gapless=not any(read.call.arguments.get(name) for name in _SOME_EVENTS)
    )
    return replace(reply, rows=[row | {"change": change} for row, change in zip(rows, changes, strict=True)])


async def add_latest_runs(read: Read, reply: OperationResult) -> OperationResult:
    """Add the state, start and duration in seconds of each DAG's latest run, where `latest_run` is set.

    One request reads the newest runs of all DAGs whose latest run is unknown. It is repeated, at most eight times, for
    those whose runs it did not reach: the note counts the rest.
    """
    if not read.call.arguments.get("latest_run") or not reply.rows:
        return reply
    dag_ids = [str(row["dag_id"]) for row in map(conform, reply.rows) if row.get("dag_id")]
    remaining_ids = [dag_id for dag_id in dag_ids if _may_list_runs(read, dag_id)]
    hidden_count = len(dag_ids) - len(remaining_ids)
    notes = [f"The latest runs of {hidden_count} DAGs are not shown: policy hides them."] if hidden_count else []
    listing = read.executor.catalog.operations["query_dag_runs"]
    runs: dict[str, Json] = {}
    try:
        for _ in range(_MOST_REQUESTS):
            if not remaining_ids:
                break
            request_arguments = {"dag_ids": remaining_ids, "limit": PAGE}
            page = await read.executor.operate(read.call.step(listing, request_arguments, ()), look_up=False)
            rows = page.rows or []
            for run in map(conform, rows):
                runs.setdefault(str(run.get("dag_id")), run)
            is_complete = not rows or (page.total or 0) <= len(rows)  # the remaining DAGs have no run
            remaining_ids = [] if is_complete else [dag_id for dag_id in remaining_ids if dag_id not in runs]
    except AirflowMcpError as error:
        notes.append(f"The latest runs of {len(remaining_ids)} DAGs were not read: {error}")
    else:
        if remaining_ids:
            notes.append(
                f"The latest runs of {len(remaining_ids)} DAGs are not among the newest of this page's, and were not "
                f"looked for after {_MOST_REQUESTS} requests: {join_names(remaining_ids, _MOST_NAMES)}. "
                "A smaller page reaches them."
            )
    extended_rows = [row | _summary(runs.get(str(row.get("dag_id")), {})) for row in reply.rows]
    return replace(reply, rows=extended_rows, note=" ".join([*filter(None, [reply.note]), *notes]))


async def add_existing_runs(read: Read, reply: OperationResult) -> OperationResult:
    """Add to each date of a backfill its existing run and the outcome for it; the note lists runs that stay unchanged.

    Airflow's dry run lists the dates that would run, without those whose run `reprocess_behavior` leaves alone, and
    does not tell which of them have a run that is cleared (models/backfill.py of 3.3.2).
    """
    rows = reply.rows or []
    if not _may_list_runs(read, read.call.arguments["dag_id"]):
        return replace(reply, note="Which of these dates have runs is not shown: policy hides the DAG's runs.")
    try:
        runs, total = await _runs_of_range(read, any(row.get("logical_date") for row in rows) or not rows)
    except AirflowMcpError as error:
        return replace(reply, note=f"Which of these dates have runs was not read: {error}")
    behavior = read.call.arguments.get("reprocess_behavior", "none")
    dates, notes = compare_dates([conform(row) for row in rows], [conform(run) for run in runs], behavior)
    if total > len(runs):
        notes.append(f"Only the newest {len(runs)} of {total} runs were compared.")
    return replace(reply, rows=dates, note=" ".join([*filter(None, [reply.note]), *notes]))


async def _runs_of_range(read: Read, is_dated: bool) -> tuple[list[Json], int]:
    """Return the newest runs of the backfill's dates and their total; runs of partitions have no date to filter by."""
    request_arguments: Json = {"dag_id": read.call.arguments["dag_id"], "limit": PAGE}
    if is_dated:
        request_arguments |= {
            "logical_date_gte": read.call.arguments["from_date"],
            "logical_date_lte": read.call.arguments["to_date"],
        }
    listing = read.executor.catalog.operations["list_dag_runs"]
    runs: list[Json] = []
    total = 1
    for _ in range(_MOST_PAGES):
        if len(runs) >= total:
            break
        step = read.call.step(listing, request_arguments | {"offset": len(runs)}, ("partition_key",))
        page = await read.executor.operate(step, look_up=False)
        runs += page.rows or []
        total = (page.total or 0) if page.rows else len(runs)
    return runs, total


def _may_list_runs(read: Read, dag_id: str) -> bool:
    effect = Effect(read.executor.catalog.operations["list_dag_runs"], {"dag": frozenset({dag_id})})
    return decide(read.call.policy, effect, read.call.principal, read.parent).allowed


def _summary(run: Json) -> Json:
    """Return the fields of a latest run; a run that has not begun has the time at which it is due."""
    moment = run.get("start_date") or run.get("run_after") or run.get("logical_date")
    values = run.get("state"), moment, run.get("duration")
    return dict(zip(HANDLERS["add_latest_runs"].adds, values, strict=True))


HANDLERS: Mapping[str, Handler] = {
    "add_changes": Handler(add_changes, ("change",), ("extra",)),
    "add_existing_runs": Handler(add_existing_runs, ("dag_run_id", "state", "then")),
    "add_latest_runs": Handler(add_latest_runs, ("latest_run_state", "latest_run_at", "latest_run_seconds")),
}


async def add_to_rows(read: Read, reply: OperationResult) -> OperationResult:
    """Add to the rows of a list the fields of its entry's handler."""
    handler = HANDLERS.get(read.call.tool.entry.after or "")
    if handler is None or reply.rows is None:
        return reply
    reply = await handler.function(read, reply)
    return replace(reply, record=widen(reply.record, handler))


def widen(record: Record, handler: Handler) -> Record:
    """Return the record with the fields that the handler adds at its end."""
    text = (*record.text, "change") if "change" in handler.adds else record.text
    keep, row = (*record.keep, *handler.adds), (*record.columns, *handler.adds)
    return record.model_copy(update={"keep": keep, "row": row, "text": text})
