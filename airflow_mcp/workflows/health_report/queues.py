"""Describe the unfinished task instances of a whole Airflow: their number by state, and the longest queued one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import gather
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.health_report.failed_runs import identify_instance
from airflow_mcp.workflows.shared.findings import format_age, format_count

_EVERYWHERE = {"dag_id": "~", "dag_run_id": "~"}
_UNFINISHED = ("running", "queued", "scheduled", "deferred", "up_for_retry")
_LONG_QUEUED = 300.0  # seconds


async def read_unfinished(context: WorkflowContext, changed: str) -> Json:
    """Count unfinished task instances by state and return the queued ones; one request, or five beyond one page."""
    arguments = {**_EVERYWHERE, "updated_at_gte": changed}
    rows, total = await context.read_rows("list_task_instances", **arguments, state=list(_UNFINISHED))
    if total <= len(rows):
        queued = [row for row in rows if row["state"] == "queued"]
        return {state: sum(row["state"] == state for row in rows) for state in _UNFINISHED} | {"rows": queued}
    counted_states = ("running", "scheduled", "deferred")
    reads: dict[str, Any] = {
        state: context.read_rows("list_task_instances", **arguments, state=[state], limit=1) for state in counted_states
    }
    results = await gather(queued=context.read_rows("list_task_instances", **arguments, state=["queued"]), **reads)
    counts = {state: number for state, (_, number) in results.values.items()}
    if len(counts) == len(reads) + 1:
        counts["up_for_retry"] = max(total - sum(counts.values()), 0)
    return counts | {"rows": results.get("queued", ([], 0))[0]}


def describe_queues(unfinished: Json, now: datetime) -> Json | None:
    """Describe the counts by state and the longest wait in a queue; `unfinished` is what read_unfinished returns."""
    section: Json = {state: unfinished[state] for state in _UNFINISHED if state in unfinished}
    queued_rows: list[Json] = [row for row in unfinished.get("rows", []) if row.get("queued_when")]
    if queued_rows:
        oldest_row = min(queued_rows, key=lambda row: row["queued_when"])
        ids = {name: value for name, value in identify_instance(oldest_row).items() if name != "map_index"}
        section["longest_queued"] = f"{format_age(oldest_row['queued_when'], now)}, queue {oldest_row.get('queue')}"
        section["next"] = [next_call("why_not_running", "says why the longest queued one waits", **ids)]
        if (now - datetime.fromisoformat(oldest_row["queued_when"])).total_seconds() > _LONG_QUEUED:
            number = format_count(unfinished.get("queued", len(queued_rows)), "task instance")
            section["attention"] = f"{number} queued, the longest {format_age(oldest_row['queued_when'], now)}"
    return section or None
