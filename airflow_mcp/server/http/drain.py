"""The end of the application waits for its requests, so that a change in flight has its end in the audit trail.

uvicorn cancels what is not answered within its time, and then ends the process by the signal that it got, whether
what it cancelled has ended or not. A read ends at once; a change that was sent to Airflow is waited for, at most
its `timeout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Drain:
    """Around the whole application, as plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = 0
        self._idle = anyio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
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
