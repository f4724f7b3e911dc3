"""The bodies of requests must come in time, and wait for their last byte in places of their own: none of a call's.

A caller whose share is used up loses the body that it has dawdled over for longest: a body that is on its way takes
milliseconds, so what gives way is what was never going to come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
from mcp.server.transport_security import RequestBodyLimitMiddleware

from airflow_mcp.server.http.gate import UNREAD, busy
from airflow_mcp.server.http.refusals import Refusal
from airflow_mcp.shares import Shares

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(eq=False)
class _Body:
    holder: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    waits: bool = True
    gave_way: bool = False
    unreadable: bool = False


class Bodies:
    """Reads the body of a request for its caller, and hands it whole to an application."""

    def __init__(self, places: int, largest: int, seconds: float) -> None:
        """`places` are bodies that are waited for at once, `largest` is in bytes."""
        self._places = Shares(places)
        self._largest = largest
        self._seconds = seconds
        self._waiting: dict[_Body, None] = {}  # the longest waited for first

    async def hand_over(self, app: ASGIApp, holder: str, scope: Scope, receive: Receive, send: Send) -> Refusal | None:
        """Run the application on the request once its body is whole; the refusal where it never was.

        Where the body is not whole in time, or its sender has left by then, the application has seen nothing.
        """
        if not self._take(holder):
            return busy(self._places.places, "one caller")
        body = _Body(holder)
        self._waiting[body] = None

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            self._end(body)
            await app(scope, receive, send)

        try:
            with body.scope:
                limited = RequestBodyLimitMiddleware(run, self._largest)
                await limited(scope, self._in_time(scope, receive, body), send)
        finally:
            self._end(body)
        if not body.scope.cancelled_caught:
            return None
        if body.unreadable:
            sentence = "The body of this request cannot be read: it is not HTTP/1.1, or comes in many tiny chunks. "
            return Refusal("malformed", 400, f"{sentence}Send it whole, with Content-Length.")
        if body.gave_way:
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
        oldest.gave_way = True
        oldest.scope.cancel()
        self._end(oldest)
        return self._places.take(holder)

    def _end(self, body: _Body) -> None:
        if body.waits:
            body.waits = False
            del self._waiting[body]
            self._places.give_back(body.holder)

    def _in_time(self, scope: Scope, receive: Receive, body: _Body) -> Receive:
        deadline = anyio.current_time() + self._seconds

        async def next_piece() -> Message:
            if not body.waits and not body.gave_way:
                return await receive()
            with anyio.move_on_after(deadline - anyio.current_time()):
                message = await receive()
                body.unreadable = UNREAD in scope
                if message["type"] == "http.request" and not body.unreadable:
                    return message
            body.scope.cancel()
            await anyio.lowlevel.checkpoint()
            raise RuntimeError("a request that was broken off is still read")

        return next_piece
