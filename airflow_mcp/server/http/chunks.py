"""The parser of HTTP/1.1, with a bound on what a body may cost beside what it holds.

A chunk costs the parser as much as a kilobyte, and has one byte where its sender likes; and what comes after an answer,
as the body of a request without a token, is read only to be thrown away.
"""

from __future__ import annotations

from typing import Any

import h11

_FREE_CHUNKS = 1_000  # of a body, however small they are
_SMALLEST_CHUNK = 256  # bytes that chunks have on average in a body of more
_MOST_DISCARDED = 2 * 1_048_576  # bytes behind an answer; a client that sends a body too large reads its answer by then


class BoundedConnection(h11.Connection):
    """The state of one connection of a client."""

    def __init__(self, largest_headers: int) -> None:
        super().__init__(h11.SERVER, largest_headers)
        self._chunks = 0
        self._bytes = 0
        self._discarded = 0

    def next_event(self) -> Any:
        """See h11. Raises RemoteProtocolError for a body of which the sender makes too much work."""
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
