"""Reading a log through the door: pieces gathered and scanned off the event loop, with progress and a time limit."""

from __future__ import annotations

from typing import Protocol

import anyio
import anyio.to_thread

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.task_logs.records import LogForm

FORMS: dict[Generation, LogForm] = {"v1": "text", "v2": "ndjson"}
SECONDS = 120  # for the whole log; each silence is bounded by AIRFLOW_MCP_TIMEOUT besides
_BATCH = 512 * 1024  # bytes scanned at a time: large enough that changing threads costs nothing
_PROGRESS_EVERY = 4 * 1024 * 1024  # bytes


class Scan(Protocol):
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


async def read_log(door: InnerDoor, ids: Json, scan: Scan) -> bool:
    """Feed a whole log to `scan`; False if it was given up after 120 seconds. Raises what the door raises."""
    with anyio.move_on_after(SECONDS) as clock:
        await _feed(door, ids, scan)
    await anyio.to_thread.run_sync(scan.finish)
    return not clock.cancelled_caught


async def _feed(door: InnerDoor, ids: Json, scan: Scan) -> None:
    told = held = 0
    batch: list[bytes] = []
    async with door.logs, door.stream("get_task_log", **ids) as pieces:
        async for piece in pieces:
            batch.append(piece)
            held += len(piece)
            if held < _BATCH:
                continue
            await anyio.to_thread.run_sync(scan.feed, b"".join(batch))
            batch, held = [], 0
            if scan.size - told >= _PROGRESS_EVERY and not door.is_bounded:
                told = scan.size
                await door.progress(scan.lines, None, f"{scan.lines} lines, {scan.size // 2**20} MB read")
    await anyio.to_thread.run_sync(scan.feed, b"".join(batch))
