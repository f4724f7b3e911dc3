"""Bound what one answer asks of Airflow: requests at once, requests in all, and seconds.

A report that sends many heavy reads at once slows each of them down, and everybody else's too: on an Airflow 3.3.2
with 936,000 task instances a list took 0.6-1.1 s alone and 6-30 s beside seven others. Its API server is one Python
process: a second heavy read beside the first gains hardly any time, and slows everybody else down.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from airflow_mcp.errors import AnswerLimitError

MOST_AT_ONCE = 4
_FIRST_AT_ONCE = 2  # as TCP starts slowly: what an answer costs here is not known yet
_QUICK = 0.5  # seconds: one more at once
_SLOW = 1.0  # seconds: half as many at once


class AdaptiveLimit:
    """Bound the requests of one call that are under way, by how long Airflow takes to answer.

    Additive increase, multiplicative decrease (RFC 5681 names the pair): at most four, at least one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._places = anyio.CapacityLimiter(_FIRST_AT_ONCE)

    @property
    def size(self) -> int:
        """How many may be under way now."""
        return int(self._places.total_tokens)

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator[Callable[[], None]]:
        """Wait for a place and keep it; the function handed over is called once Airflow has answered."""
        async with self._places:
            begun = self._clock()
            measured = False

            def answered() -> None:
                nonlocal measured
                if not measured:
                    measured = True
                    self._adapt(self._clock() - begun)

            try:
                yield answered
            finally:
                answered()

    def _adapt(self, seconds: float) -> None:
        if seconds > _SLOW:
            self._places.total_tokens = max(1, self.size // 2)
        elif seconds < _QUICK:
            self._places.total_tokens = min(MOST_AT_ONCE, self.size + 1)


@dataclass(frozen=True)
class AnswerLimits:
    """What one answer may take."""

    # Reads in all; infinite where nothing bounds them.
    requests: float = math.inf
    # The moment, in seconds of the clock, after which nothing more is read; infinite for a call that waits.
    deadline: float = math.inf
    # The seconds that this deadline came from, for the sentence about it.
    seconds: float = math.inf

    def check(self, sent: int, now: float) -> None:
        """Raise AnswerLimitError where one more read would be too many or too late."""
        if now >= self.deadline:
            raise self.build_deadline_error()
        if sent >= self.requests:
            raise AnswerLimitError(f"not read: this answer asks Airflow for at most {self.requests:.0f} things.")

    def build_deadline_error(self) -> AnswerLimitError:
        """Return the error of a read that the deadline left out or cut short."""
        return AnswerLimitError(
            f"not read: Airflow was too slow for the {self.seconds:.0f} s of this answer; a larger timeout_seconds "
            "leaves more time."
        )
