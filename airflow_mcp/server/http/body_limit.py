"""Bounds on the bodies of requests: their size, their time, and how many each caller may have in transit.

Incomplete bodies have a concurrency limit of their own, apart from that of calls. A caller whose share is used up loses
its oldest incomplete body: a live body takes milliseconds, so the oldest is one that stalled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
from mcp.server.transport_security import RequestBodyLimitMiddleware

from airflow_mcp.fair_share import FairShare
from airflow_mcp.server.http.gate import UNREAD_KEY, build_busy_refusal
from airflow_mcp.server.http.refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(eq=False)
class _PendingBody:
    holder: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    waits: bool = True
    is_evicted: bool = False
    unreadable: bool = False


class BodyLimit:
    """Reads the body of a request, and hands it to an application when it is complete."""

    def __init__(self, places: int, largest: int, seconds: float) -> None:
        """Set the limits: `places` incomplete bodies at once, `largest` bytes and `seconds` for each."""
        self._places = FairShare(places)
        self._largest = largest
        self._seconds = seconds
        self._waiting: dict[_PendingBody, None] = {}  # oldest first

    async def hand_over(self, app: ASGIApp, holder: str, scope: Scope, receive: Receive, send: Send) -> Refusal | None:
        """Run the application on the request once its body is complete; return a refusal where it never was.

        The application never runs for a body that is not complete in time, or whose sender disconnects.
        """
        if not self._take(holder):
            return build_busy_refusal(self._places.places, "one caller")
        body = _PendingBody(holder)
        self._waiting[body] = None

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            self._end(body)
            await app(scope, receive, send)

        try:
            with body.scope:
                limited = RequestBodyLimitMiddleware(run, self._largest)
                await limited(scope, self._bound_reads(scope, receive, body), send)
        finally:
            self._end(body)
        if not body.scope.cancelled_caught:
            return None
        if body.unreadable:
            sentence = "The body of this request cannot be read: it is not HTTP/1.1, or comes in many tiny chunks. "
            return Refusal("malformed", 400, f"{sentence}Send it whole, with Content-Length.")
        if body.is_evicted:
            sentence = "The body of this request gave way to newer requests of its sender. Send it again."
            return Refusal("slow", 408, sentence)
        sentence = f"The body of this request did not come within {self._seconds:g} seconds. Send it again."
        return Refusal("slow", 408, sentence)

    def _take(self, holder: str) -> bool:
        if self._places.take(holder):
            return True
        oldest = next((body for body in self._waiting if body.holder == holder), None)
        if oldest is None:
            return False
        oldest.is_evicted = True
        oldest.scope.cancel()
        self._end(oldest)
        return self._places.take(holder)

    def _end(self, body: _PendingBody) -> None:
        if body.waits:
            body.waits = False
            del self._waiting[body]
            self._places.give_back(body.holder)

    def _bound_reads(self, scope: Scope, receive: Receive, body: _PendingBody) -> Receive:
        deadline = anyio.current_time() + self._seconds

        async def next_piece() -> Message:
            if not body.waits and not body.is_evicted:
                return await receive()
            with anyio.move_on_after(deadline - anyio.current_time()):
                message = await receive()
                body.unreadable = UNREAD_KEY in scope
                if message["type"] == "http.request" and not body.unreadable:
                    return message
            body.scope.cancel()
            await anyio.lowlevel.checkpoint()
            raise RuntimeError("a request that was broken off is still read")

        return next_piece
