"""Trigger a DAG run exactly once, with a conf that the DAG takes."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.shared.trigger import check_trigger, trigger_run

_PAUSED = "The DAG is paused, so the run stays queued."


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """The new run; `hint` when the DAG is paused or the conf odd. Raises what workflows/shared/trigger.py raises."""
    ready = await check_trigger(context, "trigger_dag_run", arguments)
    made = await trigger_run(context, "trigger_dag_run", arguments)
    hints = [hint for hint in (_PAUSED if ready.is_paused else None, ready.hint) if hint]
    unpause = next_call("unpause_dag", "starts it, and any other run that is due", dag_id=arguments["dag_id"])
    calls = [unpause] if ready.is_paused else None
    return made | {"hint": " ".join(hints) or None, "next": calls}
