"""Long work on the event loop, done in pieces that let others in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from time import perf_counter
from typing import TypeVar

from anyio.lowlevel import checkpoint

Element = TypeVar("Element")
_SLICE = 0.005  # seconds of work after which others have their turn


class TimeSlice:
    """The time that one piece of work has held the event loop."""

    def __init__(self) -> None:
        self._began = perf_counter()

    async def yield_when_due(self) -> None:
        """Let others in, where the work has gone on for its slice of time."""
        if perf_counter() - self._began > _SLICE:
            await checkpoint()
            self._began = perf_counter()


async def iterate_in_slices(items: Iterable[Element]) -> AsyncIterator[Element]:
    """Give the items, with a rest between them whenever one is due."""
    time_slice = TimeSlice()
    for item in items:
        yield item
        await time_slice.yield_when_due()
