"""Trigger a DAG run with a conf that the DAG takes, and wait until it ends; a paused DAG is refused, never unpaused."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowError, AirflowMcpError, InvalidArgumentsError
from airflow_mcp.workflows.shared.run_wait import SECONDS, advise_wait, wait_until_ended
from airflow_mcp.workflows.shared.trigger import check_trigger, trigger_run

_EXISTS = 409


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Trigger a run and return what wait_for_dag_run answers about it.

    Raises what workflows/shared/trigger.py raises, and InvalidArgumentsError for a paused DAG.
    """
    tool, dag_id = "trigger_and_wait", arguments["dag_id"]
    trigger_arguments = {name: value for name, value in arguments.items() if name != "timeout_seconds"}
    readiness = await check_trigger(context, tool, trigger_arguments)
    if readiness.is_paused:
        # Without the note, which is signed by now.
        queue_arguments = {name: value for name, value in trigger_arguments.items() if name != "note"}
        error = InvalidArgumentsError(
            f"{tool}: DAG {dag_id!r} is paused, so a run would wait for ever; nothing was sent."
        )
        raise error.advise(
            next_call("unpause_dag", "lets it run, and starts what else is due", dag_id=dag_id),
            next_call("trigger_dag_run", "leaves a queued run behind", **queue_arguments),
        )
    try:
        dag_run = await trigger_run(context, tool, trigger_arguments)
    except AirflowError as error:
        if error.status != _EXISTS or "dag_run_id" not in trigger_arguments:
            raise
        wait_call = next_call(
            "wait_for_dag_run",
            "waits for it if that run is meant",
            dag_id=dag_id,
            dag_run_id=trigger_arguments["dag_run_id"],
        )
        raise error.advise(wait_call) from None
    ids = {"dag_id": dag_id, "dag_run_id": dag_run["dag_run_id"]}
    answer: Json
    try:
        answer = await wait_until_ended(context, ids, arguments.get("timeout_seconds", SECONDS))
    except AirflowMcpError as error:  # the run exists: an error alone would invite a second one
        hint = f"The run was started; waiting for it failed: {error}"
        answer = {**ids, "state": dag_run.get("state"), "finished": False, "hint": hint, "next": [advise_wait(ids)]}
    hints = [hint for hint in (answer.get("hint"), readiness.hint) if hint]
    return answer | {"hint": " ".join(hints) or None}
