"""Distinguish a scheduler that runs a task itself, and so does not report meanwhile, from one that is dead."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError
from airflow_mcp.workflows.shared.components import Component

# Executors of Airflow 2 that run a task in the scheduler's own loop, one at a time (executors/sequential_executor.py).
_INSIDE = ("SequentialExecutor", "DebugExecutor")


async def settle_scheduler(context: WorkflowContext, components: dict[str, Component]) -> dict[str, Component]:
    """Return the components, the scheduler with the task that it runs itself; at most two requests.

    Where exactly one task instance runs, started after the scheduler last reported, and the executor runs one at a
    time, a working scheduler started it. Where the executor cannot be read, that is likely. Airflow 3 has no such
    executor.
    """
    scheduler = components.get("scheduler")
    if context.version.generation != "v1" or scheduler is None or scheduler.alive or not scheduler.heartbeat:
        return components
    filters = {"state": ["running"], "start_date_gte": scheduler.heartbeat, "limit": 2}
    try:
        rows, total = await context.read_rows("list_task_instances", dag_id="~", dag_run_id="~", **filters)
    except AirflowMcpError:
        return components
    if total != 1 or not rows or context.hides:
        return components
    executor = await read_setting(context, "core", "executor")
    if executor and executor.rpartition(".")[2] not in _INSIDE:
        return components
    working_scheduler = replace(scheduler, work=rows[0], executor=(executor or "").rpartition(".")[2])
    return components | {"scheduler": working_scheduler}


async def read_setting(context: WorkflowContext, section: str, option: str) -> str | None:
    """Return one setting of Airflow's configuration, or None where it may not be read."""
    try:
        rows, _ = await context.read_rows("get_config_value", section=section, option=option)
    except AirflowMcpError:
        return None
    return next((str(row["value"]) for row in rows if row.get("key") == option and row.get("value") is not None), None)
