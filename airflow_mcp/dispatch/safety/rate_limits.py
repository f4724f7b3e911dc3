"""Calls per minute, by caller and class, with an answer that says when to come back.

Who called when is remembered behind `CallCounter`, so that replicas can share it.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from airflow_mcp.catalog.grammar import Access
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.policy.rules import PerMinute

WINDOW = 60.0  # seconds


def measure_wait(calls: deque[float], limit: int, now: float) -> float:
    """0 where another call fits, else the seconds until one does; `calls` loses those that are older than a minute."""
    while calls and calls[0] + WINDOW - now <= 0:  # as below, so that what is kept never rounds to 0
        calls.popleft()
    return calls[0] + WINDOW - now if len(calls) >= limit else 0.0


class RecentCalls:
    """The calls of the last minute by whoever made them, in bounded memory.

    Beyond `most` callers in one minute, newcomers share one count: a flood of names makes no room for itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = 10_000) -> None:
        """`clock` gives seconds that only grow."""
        self._clock = clock
        self._most = most
        self._calls: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._calls)

    def wait(self, whose: str, limit: int, *, count: bool) -> float:
        """0 where another call fits into `limit`, which is then counted if `count`; else seconds until one does."""
        now = self._clock()
        if whose not in self._calls and len(self._calls) >= self._most:
            self._calls = {name: times for name, times in self._calls.items() if times and times[-1] > now - WINDOW}
            whose = whose if len(self._calls) < self._most else ""
        if not count and whose not in self._calls:
            return 0.0
        calls = self._calls.setdefault(whose, deque())
        wait = measure_wait(calls, limit, now)
        if count and wait == 0:
            calls.append(now)
        return wait


class CallCounter(Protocol):
    """Remembers the calls of the last minute."""

    async def wait(self, whose: str, limit: int, *, count: bool) -> float:
        """0 where another call fits into `limit`, and it is then counted if `count`; else the seconds until one does.

        Of calls at once no more than fit are counted.
        """
        ...

    async def require_reachable(self) -> None:
        """Raises NotAllowedError while nothing can be remembered."""
        ...


class InMemoryCallCounter:
    """The calls of this process; right for one process alone. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = RecentCalls(clock)

    async def wait(self, whose: str, limit: int, *, count: bool) -> float:
        """See CallCounter."""
        return self._calls.wait(whose, limit, count=count)

    async def require_reachable(self) -> None:
        """See CallCounter."""


class RateLimiter:
    """Holds calls against the limits of policy."""

    def __init__(self, limits: PerMinute, calls: CallCounter | None = None) -> None:
        self.limits = limits
        self._calls = calls or InMemoryCallCounter()

    async def take(self, caller: str, access: Access) -> None:
        """Count one call. Raises NotAllowedError when the caller made as many within the last minute as it may.

        A change is refused, limited or not, while what replicas share is out of reach.
        """
        await self._check(caller, access, count=True)

    async def require(self, caller: str, access: Access) -> None:
        """Raises NotAllowedError where `take` would; counts nothing."""
        await self._check(caller, access, count=False)

    async def _check(self, caller: str, access: Access, *, count: bool) -> None:
        limit: int | None = getattr(self.limits, access)
        if limit is None:
            if access != "read":
                await self._calls.require_reachable()
            return
        wait = await self._calls.wait(json.dumps([caller, access]), limit, count=count)
        if wait > 0:
            raise NotAllowedError(
                f"Too many {access} calls: {limit} a minute are allowed (policy.per_minute). Nothing was sent; try "
                f"again in {math.ceil(wait)} seconds."
            )
