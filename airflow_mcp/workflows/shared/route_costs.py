"""Routes of Airflow whose cost grows with something that their answer does not show, and what to ask in their place."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import InnerDoor


@dataclass(frozen=True)
class RouteCost:
    """What a route's cost grows with, and the measurement that says so."""

    operation: str
    grows_with: str
    measured: str
    instead: str


# All on Airflow 3.3.2 over SQLite: 5,000 DAGs, 305,000 runs, 936,000 task instances, 200,000 events.
ROUTE_COSTS = (
    RouteCost(
        "get_dag_run",
        "task instances of the run: it reads each for the versions of the DAG",
        "290 s for a run of 50,000 mapped task instances, on a busy machine",
        "one row of the list, filtered by the run's id, which holds the same fields (read_run)",
    ),
    RouteCost(
        "list_task_instances",
        "task instances of the window",
        "0.6-1.1 s alone, 6-30 s beside seven others",
        "a bound of time, a state and a page; few at once (tools/request_limits.py)",
    ),
    RouteCost(
        "list_event_logs",
        "events of the window: nothing but the id and the time is indexed for it",
        "2-120 s for each task that was asked about beside others",
        "once for the whole window or run (ExecutorEvents)",
    ),
)
_PATTERN_SINCE = (3, 1)  # of run_id_pattern
_CANDIDATES = 20  # rows: a pattern also finds runs whose ids contain this one


async def read_run(door: InnerDoor, dag_id: str, dag_run_id: str) -> Json:
    """Return one run, from the list where it can be found there: see ROUTE_COSTS. Raises NotFoundError.

    A pattern is part of an id, in which % and _ stand for other characters and | for "or" (3.2): it finds more than the
    run, and never another one alone.
    """
    if door.version >= _PATTERN_SINCE:
        asked = {"dag_id": dag_id, "run_id_pattern": dag_run_id, "limit": _CANDIDATES}
        rows, _ = await door.rows("list_dag_runs", **asked)
        if run := next((row for row in rows if row["dag_run_id"] == dag_run_id), None):
            return run
    return await door.one("get_dag_run", dag_id=dag_id, dag_run_id=dag_run_id)
