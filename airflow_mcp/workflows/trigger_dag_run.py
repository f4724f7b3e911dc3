"""Trigger a DAG run exactly once, with a conf that the DAG takes."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.shared.trigger import check_trigger, trigger_run

_PAUSED = "The DAG is paused, so the run stays queued."


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Trigger a run and return it, with a `hint` when the DAG is paused or its conf is doubtful.

    Raises what workflows/shared/trigger.py raises.
    """
    readiness = await check_trigger(context, "trigger_dag_run", arguments)
    dag_run = await trigger_run(context, "trigger_dag_run", arguments)
    hints = [hint for hint in (_PAUSED if readiness.is_paused else None, readiness.hint) if hint]
    unpause_call = next_call("unpause_dag", "starts it, and any other run that is due", dag_id=arguments["dag_id"])
    calls = [unpause_call] if readiness.is_paused else None
    return dag_run | {"hint": " ".join(hints) or None, "next": calls}
