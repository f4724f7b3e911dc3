"""Explain how a run ended in which no task instance failed, and read what Airflow's audit log has on it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.shared.failed_tasks import describe_counts, name_instances
from airflow_mcp.workflows.shared.findings import parse_time

_STARTS = ("trigger_dag_run", "api.post_dag_run", "post_dag_run")  # these events say only who started the run
_MOST_EVENTS = 5
_NAMES = 160  # characters of a list of task instances
_SET_MANUALLY = "somebody set the state, or its tasks could not run"
_SPAN = TypeAdapter(timedelta)


async def read_events(context: WorkflowContext, ids: Json) -> list[str] | None:
    """Return the events of a run (dag_id, dag_run_id), newest first, such as a heartbeat timeout or who set a state.

    Returns None before Airflow 2.9, whose audit log cannot be filtered by run.
    """
    if context.version < (2, 9):
        return None
    rows, _ = await context.read_rows("list_event_logs", **ids, excluded_events=list(_STARTS), limit=_MOST_EVENTS)
    event_rows = [row for row in rows if row["event"] not in _STARTS]
    fields = ("when", "event", "task_id", "owner")
    return [" ".join(str(row[name]) for name in fields if row.get(name)) for row in event_rows] or None


async def explain_ending(context: WorkflowContext, ids: Json, dag_run: Json) -> str:
    """Explain the state of a run in which no task instance failed."""
    if dag_run["state"] in ("queued", "running"):
        return f"No task instance failed: the run is {dag_run['state']}."
    if dag_run["state"] == "success":
        return "No task instance failed: the run succeeded."
    rows, total = await context.read_rows("list_task_instances", **ids)
    states = Counter(row.get("state") or "none" for row in rows)
    coverage = f" (of the first {len(rows)} of {total})" if total > len(rows) else ""
    unsuccessful_rows = [row for row in rows if row.get("state") != "success"]
    names = f"; not successful: {name_instances(unsuccessful_rows, _NAMES)}" if unsuccessful_rows else ""
    text = f"The run failed but no task instance did: {describe_counts(states) or 'it has none'}{coverage}{names}."
    limit = (await context.read_record("get_dag_details", dag_id=ids["dag_id"])).get("dag_run_timeout")
    if limit is None:
        return f"{text} The DAG has no dagrun_timeout: {_SET_MANUALLY}."
    duration, timeout = _measure_duration(dag_run), _parse_seconds(limit)
    if duration is not None and duration < timeout:
        return f"{text} It took {duration:.0f} seconds, the DAG's dagrun_timeout is {timeout:g}: {_SET_MANUALLY}."
    return (
        f"{text} The DAG's dagrun_timeout is {timeout:g} seconds: a run that takes longer is failed and its unfinished "
        "tasks are skipped."
    )


def _measure_duration(dag_run: Json) -> float | None:
    start, end = parse_time(dag_run.get("start_date")), parse_time(dag_run.get("end_date"))
    return (end - start).total_seconds() if start and end else None


def _parse_seconds(span: Any) -> float:
    """Parse a time span as Airflow 3 (ISO 8601) or Airflow 2 (days and seconds) gives it."""
    if isinstance(span, dict):
        return span.get("days", 0) * 86_400 + span.get("seconds", 0)
    return _SPAN.validate_python(span).total_seconds()
