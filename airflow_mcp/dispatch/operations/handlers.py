"""What is added to a read's rows that Airflow does not answer itself: one function for each `after` of an entry."""

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

_MOST_REQUESTS = 8  # for the latest runs of one page of DAGs
_MOST_PAGES = 5  # of the runs that a backfill's dates have
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
    """One read as it was made, for whom, and under whose leave."""

    executor: OperationExecutor
    call: Call
    parent: ParentCall | None


@dataclass(frozen=True)
class Handler:
    """A function of a read and its reply, the fields it needs of each row, and those it adds."""

    function: Callable[[Read, OperationResult], Awaitable[OperationResult]]
    adds: tuple[str, ...]
    needs: tuple[str, ...] = ()


async def add_changes(read: Read, reply: OperationResult) -> OperationResult:
    """Say in each row of the audit log what was changed."""
    rows = reply.rows or []
    changes = describe_changes(
        [conform(row) for row in rows], is_gapless=not any(read.call.arguments.get(name) for name in _SOME_EVENTS)
    )
    return replace(reply, rows=[row | {"change": change} for row, change in zip(rows, changes, strict=True)])


async def add_latest_runs(read: Read, reply: OperationResult) -> OperationResult:
    """Add the state of each DAG's latest run, when it began and how many seconds it took, where that is asked for.

    One request brings the latest runs of all the DAGs that have none yet, and is repeated for those whose runs it did
    not reach, at most eight times: the note counts them.
    """
    if not read.call.arguments.get("latest_run") or not reply.rows:
        return reply
    dag_ids = [str(row["dag_id"]) for row in map(conform, reply.rows) if row.get("dag_id")]
    left = [dag_id for dag_id in dag_ids if _may_list_runs(read, dag_id)]
    hidden = len(dag_ids) - len(left)
    notes = [f"The latest runs of {hidden} DAGs are not shown: policy hides them."] if hidden else []
    listing = read.executor.catalog.operations["query_dag_runs"]
    runs: dict[str, Json] = {}
    try:
        for _ in range(_MOST_REQUESTS):
            if not left:
                break
            asked = {"dag_ids": left, "limit": PAGE}
            found = await read.executor.operate(read.call.step(listing, asked, ()), look_up=False)
            rows = found.rows or []
            for run in map(conform, rows):
                runs.setdefault(str(run.get("dag_id")), run)
            is_whole = not rows or (found.total or 0) <= len(rows)  # the others have no run
            left = [] if is_whole else [dag_id for dag_id in left if dag_id not in runs]
    except AirflowMcpError as error:
        notes.append(f"The latest runs of {len(left)} DAGs were not read: {error}")
    else:
        if left:
            notes.append(
                f"The latest runs of {len(left)} DAGs are not among the newest of this page's, and were not looked for "
                f"after {_MOST_REQUESTS} requests: {_names(left)}. A smaller page reaches them."
            )
    added = [row | _summary(runs.get(str(row.get("dag_id")), {})) for row in reply.rows]
    return replace(reply, rows=added, note=" ".join([*filter(None, [reply.note]), *notes]))


async def add_existing_runs(read: Read, reply: OperationResult) -> OperationResult:
    """Add to each date of a backfill the run it has, and what becomes of that; the note has those left as they are.

    Airflow's dry run names the dates that would run, without those whose run `reprocess_behavior` leaves alone, and
    does not say which of them have a run that is cleared (models/backfill.py of 3.3.2).
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
    """The newest runs of the backfill's dates, and how many there are; runs of partitions have no date to filter by."""
    asked: Json = {"dag_id": read.call.arguments["dag_id"], "limit": PAGE}
    if is_dated:
        asked |= {
            "logical_date_gte": read.call.arguments["from_date"],
            "logical_date_lte": read.call.arguments["to_date"],
        }
    listing = read.executor.catalog.operations["list_dag_runs"]
    runs: list[Json] = []
    total = 1
    for _ in range(_MOST_PAGES):
        if len(runs) >= total:
            break
        step = read.call.step(listing, asked | {"offset": len(runs)}, ("partition_key",))
        page = await read.executor.operate(step, look_up=False)
        runs += page.rows or []
        total = (page.total or 0) if page.rows else len(runs)
    return runs, total


def _may_list_runs(read: Read, dag_id: str) -> bool:
    effect = Effect(read.executor.catalog.operations["list_dag_runs"], {"dag": frozenset({dag_id})})
    return decide(read.call.policy, effect, read.call.principal, read.parent).allowed


def _summary(run: Json) -> Json:
    """A run that has not begun is as old as it is due."""
    moment = run.get("start_date") or run.get("run_after") or run.get("logical_date")
    values = run.get("state"), moment, run.get("duration")
    return dict(zip(HANDLERS["add_latest_runs"].adds, values, strict=True))


def _names(ids: list[str]) -> str:
    more = f" and {len(ids) - _MOST_NAMES} more" if len(ids) > _MOST_NAMES else ""
    return ", ".join(ids[:_MOST_NAMES]) + more


HANDLERS: Mapping[str, Handler] = {
    "add_changes": Handler(add_changes, ("change",), ("extra",)),
    "add_existing_runs": Handler(add_existing_runs, ("dag_run_id", "state", "then")),
    "add_latest_runs": Handler(add_latest_runs, ("latest_run_state", "latest_run_at", "latest_run_seconds")),
}


async def add_to_rows(read: Read, reply: OperationResult) -> OperationResult:
    """Give a list what its entry's handler adds."""
    handler = HANDLERS.get(read.call.tool.entry.after or "")
    if handler is None or reply.rows is None:
        return reply
    reply = await handler.function(read, reply)
    return replace(reply, record=widen(reply.record, handler))


def widen(record: Record, handler: Handler) -> Record:
    """Give a record the fields that the handler adds, at its end."""
    text = (*record.text, "change") if "change" in handler.adds else record.text
    keep, row = (*record.keep, *handler.adds), (*record.columns, *handler.adds)
    return record.model_copy(update={"keep": keep, "row": row, "text": text})
