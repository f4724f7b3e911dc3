"""The body of an answer, held in memory: whole, or not at all where it is too large."""

from __future__ import annotations

import httpx2


async def read_body(response: httpx2.Response, largest: int) -> bytes | None:
    """The body of an answer that is open; None where it has more than `largest` bytes. Raises what httpx2 raises."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > largest:
            return None
        pieces.append(piece)
    return b"".join(pieces)
