"""Read the body of an answer into memory, whole or, if it is too large, not at all."""

from __future__ import annotations

import httpx2


async def read_body(response: httpx2.Response, largest: int) -> bytes | None:
    """Read the body of an open answer; return None if it has more than `largest` bytes. Raises what httpx2 raises."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > largest:
            return None
        pieces.append(piece)
    return b"".join(pieces)
