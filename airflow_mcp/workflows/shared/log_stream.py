"""Reading a log through the door: pieces gathered and scanned off the event loop, with progress and a time limit."""

from __future__ import annotations

from typing import Protocol

import anyio
import anyio.to_thread

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.task_logs.records import LogForm

FORMS: dict[Generation, LogForm] = {"v1": "text", "v2": "ndjson"}
SECONDS = 120  # for the whole log; each silence is bounded by AIRFLOW_MCP_TIMEOUT besides
_BATCH = 512 * 1024  # bytes scanned at a time: large enough that changing threads costs nothing
_PROGRESS_EVERY = 4 * 1024 * 1024  # bytes


class LogConsumer(Protocol):
    """What is fed a log."""

    lines: int

    @property
    def size(self) -> int:
        """Bytes fed."""
        ...

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        ...

    def finish(self) -> None:
        """The log has ended."""
        ...


async def read_log(context: WorkflowContext, ids: Json, scan: LogConsumer) -> bool:
    """Feed a whole log to `scan`; False if it was given up after 120 seconds. Raises what the door raises."""
    with anyio.move_on_after(SECONDS) as clock:
        await _feed(context, ids, scan)
    await anyio.to_thread.run_sync(scan.finish)
    return not clock.cancelled_caught


async def _feed(context: WorkflowContext, ids: Json, scan: LogConsumer) -> None:
    told = held = 0
    batch: list[bytes] = []
    async with context.logs, context.open_stream("get_task_log", **ids) as pieces:
        async for piece in pieces:
            batch.append(piece)
            held += len(piece)
            if held < _BATCH:
                continue
            await anyio.to_thread.run_sync(scan.feed, b"".join(batch))
            batch, held = [], 0
            if scan.size - told >= _PROGRESS_EVERY and not context.is_bounded:
                told = scan.size
                await context.progress(scan.lines, None, f"{scan.lines} lines, {scan.size // 2**20} MB read")
    await anyio.to_thread.run_sync(scan.feed, b"".join(batch))
