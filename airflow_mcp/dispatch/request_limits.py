"""Limits on what one answer asks of Airflow: concurrent requests, requests in all, and seconds.

A report that sends many heavy reads at once slows each of them down, and those of other users too: on an Airflow 3.3.2
with 936,000 task instances a list took 0.6-1.1 s alone and 6-30 s beside seven others. Its API server is one Python
process, so that a second concurrent heavy read saves hardly any time.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from airflow_mcp.errors import AnswerLimitError

MOST_AT_ONCE = 4
_FIRST_AT_ONCE = 2  # a slow start as in TCP: the cost of an answer here is not known yet
_QUICK = 0.5  # seconds; a faster answer allows one more concurrent request
_SLOW = 1.0  # seconds; a slower answer halves the concurrent requests


class AdaptiveLimit:
    """Concurrency limit of one call's requests, adapted to how long Airflow takes to answer.

    Additive increase, multiplicative decrease (as RFC 5681 names them): at most four requests, at least one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with two concurrent requests; `clock` gives seconds."""
        self._clock = clock
        self._places = anyio.CapacityLimiter(_FIRST_AT_ONCE)

    @property
    def size(self) -> int:
        """The number of requests that may be under way now."""
        return int(self._places.total_tokens)

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator[Callable[[], None]]:
        """Wait for a place and hold it; the yielded function is called once Airflow has answered."""
        async with self._places:
            begin_time = self._clock()
            measured = False

            def answered() -> None:
                nonlocal measured
                if not measured:
                    measured = True
                    self._adapt(self._clock() - begin_time)

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
    """Limits on the reads of one answer."""

    # Maximum of reads; infinite where nothing bounds them.
    requests: float = math.inf
    # Time, in seconds of the clock, after which nothing more is read; infinite for a call that waits.
    deadline: float = math.inf
    # The seconds that set this deadline, for the error about it.
    seconds: float = math.inf

    def check(self, sent: int, now: float) -> None:
        """Raise AnswerLimitError where one more read would be too many or too late."""
        if now >= self.deadline:
            raise self.build_deadline_error()
        if sent >= self.requests:
            raise AnswerLimitError(f"not read: this answer asks Airflow for at most {self.requests:.0f} things.")

    def build_deadline_error(self) -> AnswerLimitError:
        """Return the error of a read that the deadline prevented or cut short."""
        return AnswerLimitError(
            f"not read: Airflow was too slow for the {self.seconds:.0f} s of this answer; a larger timeout_seconds "
            "leaves more time."
        )
