"""Routes of Airflow whose cost grows with data that their answer does not show, and cheaper alternatives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import NotFoundError


@dataclass(frozen=True)
class RowOfList:
    """A list whose rows hold all that a costly route answers."""

    # The list operation.
    operation: str
    # Its argument that filters by part of an id, and the first version of Airflow that has it.
    pattern: str
    since: tuple[int, int]
    # The argument of the costly route, and the field of a row, that holds the id.
    id: str
    # The key of the rows in Airflow's answer.
    rows: str


@dataclass(frozen=True)
class RouteCost:
    """What a route's cost grows with, and the measurement of it."""

    # The operation of the route.
    operation: str
    # The data with which its cost grows.
    grows_with: str
    # The measured durations.
    measured: str
    # What a workflow should request instead.
    instead: str
    # The list that is requested automatically instead; None where the caller must choose.
    row_of: RowOfList | None = None
    # When the route is requested nevertheless.
    still_asked: str = ""


# All measured on Airflow 3.3.2 over SQLite: 5,000 DAGs, 305,000 runs, 936,000 task instances, 200,000 events.
ROUTE_COSTS = (
    RouteCost(
        "get_dag_run",
        "task instances of the run: it reads each for the versions of the DAG",
        "290 s for a run of 50,000 mapped task instances, on a busy machine",
        "one row of the list, filtered by the run's id, which holds the same fields",
        row_of=RowOfList("list_dag_runs", "run_id_pattern", (3, 1), "dag_run_id", "dag_runs"),
        still_asked="before Airflow 3.1, which cannot filter by the id, and for a run that the list does not show",
    ),
    RouteCost(
        "list_task_instances",
        "task instances of the window",
        "0.6-1.1 s alone, 6-30 s beside seven others",
        "a bound of time, a state and a page; few at once (dispatch/request_limits.py)",
    ),
    RouteCost(
        "list_task_dependencies",
        "finished task instances of the run: its trigger rule is held against each",
        "10-11 s for one of 50,000 mapped task instances of which 40,000 had ended",
        "what its state, its pool and the limits say; this for runs that are not known to be large",
    ),
    RouteCost(
        "list_event_logs",
        "events of the window: nothing but the id and the time is indexed for it",
        "2-120 s for each task that was asked about beside others",
        "once for the whole window or run (ExecutorEvents)",
    ),
)
_CANDIDATES = 20  # rows: a pattern also matches ids that contain this id
_BY_OPERATION = {cost.operation: cost.row_of for cost in ROUTE_COSTS if cost.row_of}


async def read_row_of_list(
    operation: str, arguments: Json, version: Version, ask: Callable[[str, Json], Awaitable[tuple[int, Any]]]
) -> tuple[int, Json] | None:
    """Return the status and the row that holds what a costly route would answer; None where that route is needed.

    A pattern matches parts of ids, in which % and _ stand for other characters and | for "or" (Airflow 3.2), so its
    rows are compared with the id. `ask` sends an operation and returns the status and the raw answer.
    """
    row_list = _BY_OPERATION.get(operation)
    if row_list is None or version < row_list.since or arguments.get(row_list.id) in (None, "", "~"):
        return None
    list_arguments = {name: value for name, value in arguments.items() if name != row_list.id}
    list_arguments |= {row_list.pattern: arguments[row_list.id], "limit": _CANDIDATES}
    try:
        status, raw = await ask(row_list.operation, list_arguments)
    except NotFoundError:  # Airflow lists no runs for a DAG that is known only from its history
        return None
    rows = raw.get(row_list.rows) if isinstance(raw, dict) else None
    candidates = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    row = next((row for row in candidates if row.get(row_list.id) == arguments[row_list.id]), None)
    return None if row is None else (status, row)
