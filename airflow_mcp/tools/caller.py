"""Who is calling, as one plain object, so that nothing below `server` knows MCP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

# (done, total or None, message): shown to whoever asked for progress.
Progress = Callable[[float, float | None, str], Awaitable[None]]


async def _unheard(done: float, total: float | None, message: str) -> None:
    """Nobody asked for progress."""


@dataclass(frozen=True)
class Caller:
    """One call's caller."""

    name: str = "local"
    progress: Progress = _unheard
