"""Routes of Airflow whose cost grows with something that their answer does not show, and what to ask in their place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import NotFoundError


@dataclass(frozen=True)
class RowOfList:
    """A list whose row holds all that a costly route answers."""

    # The operation that lists.
    operation: str
    # Its argument that filters by part of an id, and since which Airflow there is one.
    pattern: str
    since: tuple[int, int]
    # The argument of the costly route, and the field of a row, that the id stands in.
    id: str
    # The list's key in Airflow's answer.
    rows: str


@dataclass(frozen=True)
class RouteCost:
    """What a route's cost grows with, and the measurement that says so."""

    # The operation whose route it is.
    operation: str
    # What its cost grows with.
    grows_with: str
    # What was measured.
    measured: str
    # What to ask in its place, for who writes a workflow.
    instead: str
    # The list that is asked in its place; None where the caller has to ask otherwise.
    row_of: RowOfList | None = None
    # When it is asked all the same.
    still_asked: str = ""


# All on Airflow 3.3.2 over SQLite: 5,000 DAGs, 305,000 runs, 936,000 task instances, 200,000 events.
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
_CANDIDATES = 20  # rows: a pattern also finds objects whose ids contain this one
_BY_OPERATION = {cost.operation: cost.row_of for cost in ROUTE_COSTS if cost.row_of}


async def read_row_of_list(
    operation: str, arguments: Json, version: Version, ask: Callable[[str, Json], Awaitable[tuple[int, Any]]]
) -> tuple[int, Json] | None:
    """Return the status and the row that holds what a costly route would answer; None where that must be asked.

    A pattern is part of an id, in which % and _ stand for other characters and | for "or" (Airflow 3.2): it finds more
    than the id, and never another one alone. `ask` sends an operation and returns the status and the raw answer.
    """
    row_of = _BY_OPERATION.get(operation)
    if row_of is None or version < row_of.since or arguments.get(row_of.id) in (None, "", "~"):
        return None
    asked = {name: value for name, value in arguments.items() if name != row_of.id}
    asked |= {row_of.pattern: arguments[row_of.id], "limit": _CANDIDATES}
    try:
        status, raw = await ask(row_of.operation, asked)
    except NotFoundError:  # a DAG that Airflow knows from its history alone has no list
        return None
    rows = raw.get(row_of.rows) if isinstance(raw, dict) else None
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    row = next((row for row in found if row.get(row_of.id) == arguments[row_of.id]), None)
    return None if row is None else (status, row)
