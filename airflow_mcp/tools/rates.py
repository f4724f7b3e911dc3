"""Calls per minute, by caller and class, with an answer that says when to come back."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from airflow_mcp.catalog.grammar import Access
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.policy.rules import PerMinute

_WINDOW = 60.0  # seconds


class Rates:
    """Counts this process's calls. `clock` gives seconds that only grow."""

    def __init__(self, limits: PerMinute, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._calls: dict[tuple[str, Access], deque[float]] = {}

    def take(self, caller: str, access: Access) -> None:
        """Count one call. Raises NotAllowedError when the caller made as many within the last minute as it may."""
        if (calls := self.require(caller, access)) is not None:
            calls.append(self._clock())

    def require(self, caller: str, access: Access) -> deque[float] | None:
        """The calls of the last minute, if they are limited. Raises NotAllowedError when another is too many."""
        limit: int | None = getattr(self._limits, access)
        if limit is None:
            return None
        now = self._clock()
        calls = self._calls.setdefault((caller, access), deque())
        while calls and calls[0] <= now - _WINDOW:
            calls.popleft()
        if len(calls) >= limit:
            wait = math.ceil(calls[0] + _WINDOW - now)
            raise NotAllowedError(
                f"Too many {access} calls: {limit} a minute are allowed (policy.per_minute). Nothing was sent; try "
                f"again in {wait} seconds."
            )
        return calls
