"""Logins by libraries that block: they run in a thread, and callers do not wait for one that hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from airflow_mcp.errors import LoginError

Result = TypeVar("Result")
_SECONDS = 10.0  # that callers wait; the thread may take longer, and its result is then dropped


async def run_in_thread(make: Callable[[], Result], who: str, seconds: float = _SECONDS) -> Result:
    """Run `make` in a thread, and return its result.

    Raises LoginError, which names `who`, when there is none after `seconds`, and whatever `make` raises.
    """
    try:
        with anyio.fail_after(seconds):
            return await anyio.to_thread.run_sync(make, abandon_on_cancel=True)
    except TimeoutError:
        raise LoginError(f"{who} did not answer within {seconds:g} seconds. Can it be reached from here?") from None
