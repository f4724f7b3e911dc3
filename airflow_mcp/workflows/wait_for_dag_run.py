"""Wait until a DAG run ends."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.workflows.shared.wait import SECONDS, until_ended


async def run(door: InnerDoor, arguments: Json) -> Json:
    """See workflows/shared/wait.py. Raises NotFoundError for an unknown DAG or run."""
    ids = {"dag_id": arguments["dag_id"], "dag_run_id": arguments["dag_run_id"]}
    return await until_ended(door, ids, arguments.get("timeout_seconds", SECONDS))
