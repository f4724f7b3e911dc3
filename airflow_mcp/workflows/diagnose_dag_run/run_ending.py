"""How a run ended in which no task instance failed, and what Airflow's audit log has on it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.shared.failed_tasks import describe_counts, name_instances
from airflow_mcp.workflows.shared.findings import parse_time

_STARTS = ("trigger_dag_run", "api.post_dag_run", "post_dag_run")  # say only who started it
_MOST_EVENTS = 5
_NAMES = 160  # characters of a list of task instances
_SET_MANUALLY = "somebody set the state, or its tasks could not run"
_SPAN = TypeAdapter(timedelta)


async def read_events(context: WorkflowContext, ids: Json) -> list[str] | None:
    """Events of a run (dag_id, dag_run_id), newest first, such as a heartbeat timeout or who set a state.

    None before Airflow 2.9, whose audit log cannot be asked about one run.
    """
    if context.version < (2, 9):
        return None
    rows, _ = await context.read_rows("list_event_logs", **ids, excluded_events=list(_STARTS), limit=_MOST_EVENTS)
    kept = [row for row in rows if row["event"] not in _STARTS]
    shown = ("when", "event", "task_id", "owner")
    return [" ".join(str(row[name]) for name in shown if row.get(name)) for row in kept] or None


async def explain_ending(context: WorkflowContext, ids: Json, dag_run: Json) -> str:
    """What there is to say of a run in which no task instance failed."""
    if dag_run["state"] in ("queued", "running"):
        return f"No task instance failed: the run is {dag_run['state']}."
    if dag_run["state"] == "success":
        return "No task instance failed: the run succeeded."
    rows, total = await context.read_rows("list_task_instances", **ids)
    states = Counter(row.get("state") or "none" for row in rows)
    more = f" (of the first {len(rows)} of {total})" if total > len(rows) else ""
    others = [row for row in rows if row.get("state") != "success"]
    which = f"; not successful: {name_instances(others, _NAMES)}" if others else ""
    said = f"The run failed but no task instance did: {describe_counts(states) or 'it has none'}{more}{which}."
    limit = (await context.read_record("get_dag_details", dag_id=ids["dag_id"])).get("dag_run_timeout")
    if limit is None:
        return f"{said} The DAG has no dagrun_timeout: {_SET_MANUALLY}."
    took, most = _measure_duration(dag_run), _parse_seconds(limit)
    if took is not None and took < most:
        return f"{said} It took {took:.0f} seconds, the DAG's dagrun_timeout is {most:g}: {_SET_MANUALLY}."
    return (
        f"{said} The DAG's dagrun_timeout is {most:g} seconds: a run that takes longer is failed and its unfinished "
        "tasks are skipped."
    )


def _measure_duration(dag_run: Json) -> float | None:
    started, ended = parse_time(dag_run.get("start_date")), parse_time(dag_run.get("end_date"))
    return (ended - started).total_seconds() if started and ended else None


def _parse_seconds(span: Any) -> float:
    """A time span as Airflow 3 (ISO 8601) or Airflow 2 (days and seconds) gives it."""
    if isinstance(span, dict):
        return span.get("days", 0) * 86_400 + span.get("seconds", 0)
    return _SPAN.validate_python(span).total_seconds()
