"""The parser of HTTP/1.1, with bounds on small chunks and on bytes after an answer.

A chunk costs the parser as much as a kilobyte, though its sender may put one byte into it; and bytes that come after an
answer, as the body of a request without a token, are read only to be discarded.
"""

from __future__ import annotations

from typing import Any

import h11

_FREE_CHUNKS = 1_000  # of a body, of any size
_SMALLEST_CHUNK = 256  # bytes: the least average size of the chunks of a body with more of them
_MOST_DISCARDED = 2 * 1_048_576  # bytes after an answer, by which a client with too large a body has read its answer


class BoundedConnection(h11.Connection):
    """The h11 state of one client's connection."""

    def __init__(self, largest_headers: int) -> None:
        super().__init__(h11.SERVER, largest_headers)
        self._chunks = 0
        self._bytes = 0
        self._discarded = 0

    def next_event(self) -> Any:
        """See h11. Raises RemoteProtocolError for many small chunks, and for more than 2 MiB after an answer."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = self._discarded = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._bytes // _SMALLEST_CHUNK:
                raise h11.RemoteProtocolError("a body of many small chunks")
            if self.our_state is h11.DONE:
                self._discarded += len(event.data)
                if self._discarded > _MOST_DISCARDED:
                    raise h11.RemoteProtocolError("a body that nobody waits for")
        return event
