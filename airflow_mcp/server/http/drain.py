"""Shutdown that waits for open requests, so that the outcome of a change in flight is in the audit trail.

At shutdown uvicorn cancels requests that are not answered in time, and ends the process by the signal that it got,
whether the cancelled requests have ended or not. A cancelled read ends at once; a change that was sent to Airflow is
waited for, at most its `timeout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Drain:
    """Wraps the whole application, as plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = 0
        self._idle = anyio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call."""
        if scope["type"] == "lifespan":
            await self._app(scope, self._after_requests(receive), send)
            return
        if self._open == 0:
            self._idle = anyio.Event()
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1
            if self._open == 0:
                self._idle.set()

    def _after_requests(self, receive: Receive) -> Receive:
        async def next_message() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._idle.wait()
            return message

        return next_message
