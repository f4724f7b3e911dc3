"""Unfinished task instances of a whole Airflow: how many in which state, and which waits longest in its queue."""

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
    """Counts by state and the queued task instances; one request, or five where there are more than one page."""
    asked = {**_EVERYWHERE, "updated_at_gte": changed}
    rows, total = await context.read_rows("list_task_instances", **asked, state=list(_UNFINISHED))
    if total <= len(rows):
        queued = [row for row in rows if row["state"] == "queued"]
        return {state: sum(row["state"] == state for row in rows) for state in _UNFINISHED} | {"rows": queued}
    counted = ("running", "scheduled", "deferred")
    reads: dict[str, Any] = {
        state: context.read_rows("list_task_instances", **asked, state=[state], limit=1) for state in counted
    }
    seen = await gather(queued=context.read_rows("list_task_instances", **asked, state=["queued"]), **reads)
    counts = {state: number for state, (_, number) in seen.values.items()}
    if len(counts) == len(reads) + 1:
        counts["up_for_retry"] = max(total - sum(counts.values()), 0)
    return counts | {"rows": seen.get("queued", ([], 0))[0]}


def describe_queues(unfinished: Json, now: datetime) -> Json | None:
    """The counts by state, and how long the longest queued one has waited; `unfinished` as read_unfinished gives it."""
    told: Json = {state: unfinished[state] for state in _UNFINISHED if state in unfinished}
    queued: list[Json] = [row for row in unfinished.get("rows", []) if row.get("queued_when")]
    if queued:
        oldest = min(queued, key=lambda row: row["queued_when"])
        ids = {name: value for name, value in identify_instance(oldest).items() if name != "map_index"}
        told["longest_queued"] = f"{format_age(oldest['queued_when'], now)}, queue {oldest.get('queue')}"
        told["next"] = [next_call("why_not_running", "says why the longest queued one waits", **ids)]
        if (now - datetime.fromisoformat(oldest["queued_when"])).total_seconds() > _LONG_QUEUED:
            number = format_count(unfinished.get("queued", len(queued)), "task instance")
            told["attention"] = f"{number} queued, the longest {format_age(oldest['queued_when'], now)}"
    return told or None
