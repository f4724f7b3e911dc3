"""Read every row of a list, page by page, up to a limit that the answer names."""

from __future__ import annotations

from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import run_concurrently
from airflow_mcp.dispatch.operations.executor import PAGE
from airflow_mcp.dispatch.workflow_context import WorkflowContext


async def read_all_rows(context: WorkflowContext, name: str, most: int, /, **arguments: Any) -> tuple[list[Json], int]:
    """Return the rows (at most `most`) and their total number; the pages after the first are read concurrently."""
    rows, total = await context.read_rows(name, **arguments, limit=min(PAGE, most))
    step = len(rows)
    if not step or total <= step or step >= most:
        return rows, total
    pages = await run_concurrently(
        context.read_rows(name, **arguments, limit=step, offset=offset)
        for offset in range(step, min(total, most), step)
    )
    return [*rows, *(row for page, _ in pages for row in page)][:most], total
