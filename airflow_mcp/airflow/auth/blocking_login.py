"""Logins by libraries that block: in a thread, and no caller waits for one that hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from airflow_mcp.errors import LoginError

Result = TypeVar("Result")
_SECONDS = 10.0  # that callers wait; the thread may take longer, and nobody hears of it then


async def run_in_thread(make: Callable[[], Result], who: str, seconds: float = _SECONDS) -> Result:
    """What `make` gives. Raises LoginError after these seconds, without an answer of `who`, and what it raises."""
    try:
        with anyio.fail_after(seconds):
            return await anyio.to_thread.run_sync(make, abandon_on_cancel=True)
    except TimeoutError:
        raise LoginError(f"{who} did not answer within {seconds:g} seconds. Can it be reached from here?") from None
