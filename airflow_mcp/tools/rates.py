"""Calls per minute, by caller and class, with an answer that says when to come back."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from airflow_mcp.catalog.grammar import Access
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.policy.rules import PerMinute

WINDOW = 60.0  # seconds


class Calls(Protocol):
    """Remembers the calls of the last minute."""

    async def wait(self, key: str, limit: int, *, count: bool) -> float:
        """Seconds until one more call under `key` may be made; 0 when it may be now, and then it is counted if asked.

        Two calls at once never both take the last place.
        """
        ...


class CallsInMemory:
    """The calls this process saw; right for one process alone. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: dict[str, deque[float]] = {}

    async def wait(self, key: str, limit: int, *, count: bool) -> float:
        """See Calls."""
        now = self._clock()
        calls = self._calls.setdefault(key, deque())
        while calls and calls[0] <= now - WINDOW:
            calls.popleft()
        if len(calls) >= limit:
            return calls[0] + WINDOW - now
        if count:
            calls.append(now)
        return 0.0


class Rates:
    """The limits of policy, held against the calls that were made."""

    def __init__(self, limits: PerMinute, calls: Calls | None = None) -> None:
        self._limits = limits
        self._calls = calls or CallsInMemory()

    async def take(self, caller: str, access: Access) -> None:
        """Count one call. Raises NotAllowedError when the caller made as many within the last minute as it may."""
        await self._held(caller, access, count=True)

    async def require(self, caller: str, access: Access) -> None:
        """Raises NotAllowedError when one more call would be too many; counts nothing."""
        await self._held(caller, access, count=False)

    async def _held(self, caller: str, access: Access, *, count: bool) -> None:
        limit: int | None = getattr(self._limits, access)
        if limit is None:
            return
        wait = await self._calls.wait(f"{access} {caller}", limit, count=count)
        if wait > 0:
            raise NotAllowedError(
                f"Too many {access} calls: {limit} a minute are allowed (policy.per_minute). Nothing was sent; try "
                f"again in {math.ceil(wait)} seconds."
            )
