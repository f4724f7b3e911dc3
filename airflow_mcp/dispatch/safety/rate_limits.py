"""Rate limits: calls per minute by caller and class, with a refusal that says when to try again.

`CallCounter` remembers the calls, so that replicas can share them.
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
    """Return 0 where another call fits, else the seconds until one does; drop calls older than a minute."""
    while calls and calls[0] + WINDOW - now <= 0:  # the same expression as below, so that no remaining call rounds to 0
        calls.popleft()
    return calls[0] + WINDOW - now if len(calls) >= limit else 0.0


class RecentCalls:
    """The calls of the last minute by caller, in bounded memory.

    Beyond `most` callers in one minute, newcomers share one count, so that a flood of names gains no further calls.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = 10_000) -> None:
        """Start without calls; `clock` gives seconds that only grow."""
        self._clock = clock
        self._most = most
        self._calls: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        """Return the number of callers that are remembered."""
        return len(self._calls)

    def wait(self, whose: str, limit: int, *, count: bool) -> float:
        """Return 0 where another call fits into `limit`, which `count` then counts; else seconds until one does."""
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
    """Counter of the calls of the last minute."""

    async def wait(self, whose: str, limit: int, *, count: bool) -> float:
        """Return 0 where another call fits into `limit`, which `count` then counts; else the seconds until one does.

        Of concurrent calls no more are counted than fit.
        """
        ...

    async def require_reachable(self) -> None:
        """Raise NotAllowedError while calls cannot be remembered."""
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
    """Limiter of calls to the rates of policy."""

    def __init__(self, limits: PerMinute, calls: CallCounter | None = None) -> None:
        self.limits = limits
        self._calls = calls or InMemoryCallCounter()

    async def take(self, caller: str, access: Access) -> None:
        """Count one call. Raises NotAllowedError when the caller has used up its calls of the last minute.

        A change is refused, limited or not, while the store that replicas share cannot be reached.
        """
        await self._check(caller, access, count=True)

    async def require(self, caller: str, access: Access) -> None:
        """Raise NotAllowedError where `take` would, without counting a call."""
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
