"""What is added to a read's rows that Airflow does not answer itself: one function for each `after` of an entry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.catalog.load import Tool
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.operations.event_changes import describe_changes
from airflow_mcp.dispatch.operations.executor import PAGE, Operations
from airflow_mcp.dispatch.operations.result import Reply
from airflow_mcp.errors import AirflowMcpError
from airflow_mcp.policy.decide import Within, decide
from airflow_mcp.policy.effects import Effect

_MOST_REQUESTS = 8  # for the latest runs of one page of DAGs
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

    door: Operations
    tool: Tool
    arguments: Json
    caller: Caller
    within: Within | None


@dataclass(frozen=True)
class Handler:
    """A function of a read and its reply, the fields it needs of each row, and those it adds."""

    function: Callable[[Read, Reply], Awaitable[Reply]]
    adds: tuple[str, ...]
    needs: tuple[str, ...] = ()


async def add_changes(read: Read, reply: Reply) -> Reply:
    """Say in each row of the audit log what was changed."""
    rows = reply.rows or []
    changes = describe_changes(rows, is_gapless=not any(read.arguments.get(name) for name in _SOME_EVENTS))
    return replace(reply, rows=[row | {"change": change} for row, change in zip(rows, changes, strict=True)])


async def add_latest_runs(read: Read, reply: Reply) -> Reply:
    """Add the state of each DAG's latest run, when it began and how many seconds it took, where that is asked for.

    One request brings the latest runs of all the DAGs that have none yet, and is repeated for those whose runs it did
    not reach, at most eight times: the note counts them.
    """
    if not read.arguments.get("latest_run") or not reply.rows:
        return reply
    dag_ids = [str(row["dag_id"]) for row in reply.rows]
    left = [dag_id for dag_id in dag_ids if _may_list_runs(read, dag_id)]
    hidden = len(dag_ids) - len(left)
    notes = [f"The latest runs of {hidden} DAGs are not shown: policy hides them."] if hidden else []
    listing = read.door.catalog.operations["query_dag_runs"]
    runs: dict[str, Json] = {}
    try:
        for _ in range(_MOST_REQUESTS):
            if not left:
                break
            asked = {"dag_ids": left, "limit": PAGE}
            found = await read.door.operate(listing, asked, read.caller, (), look_up=False)
            rows = found.rows or []
            for run in rows:
                runs.setdefault(str(run["dag_id"]), run)
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
    added = [row | _summary(runs.get(str(row["dag_id"]), {})) for row in reply.rows]
    return replace(reply, rows=added, note=" ".join([*filter(None, [reply.note]), *notes]))


def _may_list_runs(read: Read, dag_id: str) -> bool:
    operations = read.door
    effect = Effect(operations.catalog.operations["list_dag_runs"], {"dag": frozenset({dag_id})})
    return decide(operations.policy, effect, operations.asker(read.caller), read.within).allowed


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
    "add_latest_runs": Handler(add_latest_runs, ("latest_run_state", "latest_run_at", "latest_run_seconds")),
}


def widen(record: Record, handler: Handler) -> Record:
    """Give a record the fields that the handler adds, at its end."""
    text = (*record.text, "change") if "change" in handler.adds else record.text
    keep, row = (*record.keep, *handler.adds), (*record.columns, *handler.adds)
    return record.model_copy(update={"keep": keep, "row": row, "text": text})
