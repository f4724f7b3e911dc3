"""Stream a log to a scanner: pieces are gathered and scanned off the event loop, with progress and a time limit."""

from __future__ import annotations

from typing import Protocol

import anyio
import anyio.to_thread

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.task_logs.records import LogForm

FORMS: dict[Generation, LogForm] = {"v1": "text", "v2": "ndjson"}
SECONDS = 120  # for the whole log; AIRFLOW_MCP_TIMEOUT bounds each pause between pieces besides
_BATCH = 512 * 1024  # bytes scanned at a time: large enough that changing threads costs nothing
_PROGRESS_EVERY = 4 * 1024 * 1024  # bytes


class LogConsumer(Protocol):
    """A consumer of a log's bytes."""

    lines: int

    @property
    def size(self) -> int:
        """The number of bytes fed."""
        ...

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        ...

    def finish(self) -> None:
        """Take note that the log has ended."""
        ...


async def read_log(context: WorkflowContext, ids: Json, scan: LogConsumer) -> bool:
    """Feed a whole log to `scan`; False if reading stopped after 120 seconds. Raises any error of the request."""
    with anyio.move_on_after(SECONDS) as scope:
        await _feed(context, ids, scan)
    await anyio.to_thread.run_sync(scan.finish)
    return not scope.cancelled_caught


async def _feed(context: WorkflowContext, ids: Json, scan: LogConsumer) -> None:
    reported_size = batch_size = 0
    batch: list[bytes] = []
    async with context.logs, context.open_stream("get_task_log", **ids) as pieces:
        async for piece in pieces:
            batch.append(piece)
            batch_size += len(piece)
            if batch_size < _BATCH:
                continue
            await anyio.to_thread.run_sync(scan.feed, b"".join(batch))
            batch, batch_size = [], 0
            if scan.size - reported_size >= _PROGRESS_EVERY and not context.is_bounded:
                reported_size = scan.size
                await context.progress(scan.lines, None, f"{scan.lines} lines, {scan.size // 2**20} MB read")
    await anyio.to_thread.run_sync(scan.feed, b"".join(batch))
