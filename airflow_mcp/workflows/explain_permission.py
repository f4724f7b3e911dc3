"""Say whether a call would be allowed, denied or confirmed, by which rule, and what would change it."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import InnerDoor


async def run(door: InnerDoor, arguments: Json) -> Json:
    """See policy/explain.py. Raises InvalidArgumentsError for a call that could not be made."""
    return door.explain(arguments["tool"], arguments.get("arguments", {}))
