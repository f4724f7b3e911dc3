"""Find runs that have been running for much longer than usual."""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import gather
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.shared.findings import format_duration, measure_age, parse_time

LONG = 6 * 3600.0  # seconds: long for a DAG of which nothing is known
_TIMES = 3  # of the usual time
_SHORTEST = 600.0  # seconds: a shorter run is never called long
_DAYS = 30  # days back in which successes are searched
_ENOUGH = 3  # successes that make a usual time
MOST_DAGS = 5  # DAGs whose usual time is computed, from one request
RULE = (
    f"running for more than {_TIMES} times the median of the DAG's latest successes (asked for {MOST_DAGS} DAGs, those "
    f"of the oldest runs), or more than {LONG / 3600:.0f} h where that is not known"
)


async def find_slow_runs(context: WorkflowContext, running: list[Json], now: datetime) -> list[Json]:
    """Return those of the running runs (oldest first) that take long by RULE. At most one request."""
    old_runs = [(run, age) for run in running if (age := measure_age(run.get("start_date"), now) or 0.0) > _SHORTEST]
    dag_ids = list(dict.fromkeys(run["dag_id"] for run, _ in old_runs))[:MOST_DAGS]
    since = f"{now - timedelta(days=_DAYS):%Y-%m-%dT%H:%M:%SZ}"
    filters: Json = {"dag_id": "~", "dag_ids": dag_ids, "state": ["success"], "start_date_gte": since}
    reads = {"runs": context.read_rows("list_dag_runs", **filters, order_by="-start_date")} if dag_ids else {}
    runs, _ = (await gather(**reads)).get("runs", ([], 0))
    usual_seconds = {dag_id: _measure_usual([run for run in runs if run["dag_id"] == dag_id]) for dag_id in dag_ids}
    slow_runs: list[Json] = []
    for run, age in old_runs:
        median_seconds = usual_seconds.get(run["dag_id"])
        if age > (LONG if median_seconds is None else _TIMES * median_seconds):
            ids = {"dag_id": run["dag_id"], "dag_run_id": run["dag_run_id"]}
            usual_text = None if median_seconds is None else format_duration(median_seconds)
            calls = [next_call("why_not_running", "says what it waits for", **ids)]
            slow_runs.append({**ids, "running_for": format_duration(age), "usually": usual_text, "next": calls})
    return slow_runs


def _measure_usual(runs: list[Json]) -> float | None:
    """Return the median duration in seconds of the runs that succeeded, or None for fewer than three."""
    durations = [
        (end - start).total_seconds()
        for run in runs
        if run.get("state") == "success"
        and (start := parse_time(run.get("start_date")))
        and (end := parse_time(run.get("end_date")))
    ]
    return median(durations) if len(durations) >= _ENOUGH else None
