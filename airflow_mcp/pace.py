"""Long work on the event loop, done in pieces that let others in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from time import perf_counter
from typing import TypeVar

from anyio.lowlevel import checkpoint

Item = TypeVar("Item")
_SLICE = 0.005  # seconds of work after which others have their turn


class Pace:
    """The time that one piece of work has held the event loop."""

    def __init__(self) -> None:
        self._began = perf_counter()

    async def rest(self) -> None:
        """Let others in, where the work has gone on for its slice of time."""
        if perf_counter() - self._began > _SLICE:
            await checkpoint()
            self._began = perf_counter()


async def paced(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Give the items, with a rest between them whenever one is due."""
    pace = Pace()
    for item in items:
        yield item
        await pace.rest()
