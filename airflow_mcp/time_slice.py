"""Long work on the event loop, in slices between which other tasks run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from time import perf_counter
from typing import TypeVar

from anyio.lowlevel import checkpoint

Element = TypeVar("Element")
_SLICE = 0.005  # seconds of work after which other tasks have their turn


class TimeSlice:
    """The time for which one task has occupied the event loop."""

    def __init__(self) -> None:
        self._began = perf_counter()

    async def yield_when_due(self) -> None:
        """Let other tasks run, if this one has used up its slice of time."""
        if perf_counter() - self._began > _SLICE:
            await checkpoint()
            self._began = perf_counter()


async def iterate_in_slices(items: Iterable[Element]) -> AsyncIterator[Element]:
    """Yield the items, and let other tasks run between them whenever that is due."""
    time_slice = TimeSlice()
    for item in items:
        yield item
        await time_slice.yield_when_due()
