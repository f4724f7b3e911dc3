"""The run of a read that names none: the DAG's latest, or the latest that ended as `latest` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.errors import InvalidArgumentsError, NotFoundError
from airflow_mcp.value_excerpt import show_id

if TYPE_CHECKING:
    from airflow_mcp.dispatch.workflow_context import WorkflowContext


async def find_run(context: WorkflowContext, tool: Tool, arguments: Json) -> str:
    """Return the id of the run that a read means without naming it, found in one request.

    For a tool that takes `latest`; empty where the call names a run. The latest is the first row of the list of runs:
    by run_after on 3.x, by logical date on 2.x. Raises InvalidArgumentsError for a call that names a run in two ways,
    or no DAG; NotFoundError where there is no such run.
    """
    state: str | None = arguments.get("latest")
    if "dag_run_id" in arguments:
        if state:
            raise InvalidArgumentsError(f"{tool.name}: give dag_run_id or latest, not both.")
        return ""
    if arguments.get("dag_run_ids"):
        return "~"
    dag_id: str = arguments["dag_id"]
    if dag_id == "~":
        raise InvalidArgumentsError(f"{tool.name}: dag_run_id is required where dag_id is '~'; '~' means every run.")
    runs, _ = await context.read_rows("list_dag_runs", dag_id=dag_id, limit=1, **({"state": [state]} if state else {}))
    if not runs:
        ended = f" that ended as {state}" if state else ""
        raise NotFoundError(f"DAG {dag_id!r} has no run{ended}.", 404)
    return str(runs[0]["dag_run_id"])


def name_run(answer: Json, dag_run_id: str) -> Json:
    """Return the answer with the id of its run, also in `more`, the arguments that ask for the omitted part."""
    run_field = {"dag_run_id": show_id(dag_run_id)}
    more_field = {"more": run_field | answer["more"]} if "more" in answer else {}
    return run_field | answer | more_field
