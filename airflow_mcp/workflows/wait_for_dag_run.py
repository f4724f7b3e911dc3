"""Wait until a DAG run ends."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.shared.run_wait import SECONDS, wait_until_ended


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Wait until the run ends, see workflows/shared/run_wait.py. Raises NotFoundError for an unknown DAG or run."""
    ids = {"dag_id": arguments["dag_id"], "dag_run_id": arguments["dag_run_id"]}
    return await wait_until_ended(context, ids, arguments.get("timeout_seconds", SECONDS))
