"""Explain whether a call would be allowed, denied or confirmed, by which rule, and what would change it."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import WorkflowContext


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Explain a call, see policy/explanation.py. Raises InvalidArgumentsError for a call that could not be made."""
    return context.explain_call(arguments["tool"], arguments.get("arguments", {}))
