"""A request's body must come in time: a client that dawdles would keep a place at the gate that others need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def run_in_time(app: ASGIApp, scope: Scope, receive: Receive, send: Send, seconds: float) -> bool:
    """Run the application on one request; whether it could.

    Where the body is not whole `seconds` after its first piece was asked for, or its sender has left by then, the
    application is broken off before it has answered.
    """
    with anyio.CancelScope() as broken_off:
        await app(scope, _until_whole(receive, seconds, broken_off), send)
    return not broken_off.cancelled_caught


def _until_whole(receive: Receive, seconds: float, broken_off: anyio.CancelScope) -> Receive:
    deadline: float | None = None
    whole = False

    async def next_piece() -> Message:
        nonlocal deadline, whole
        if whole:
            return await receive()
        deadline = anyio.current_time() + seconds if deadline is None else deadline
        with anyio.move_on_after(deadline - anyio.current_time()):
            message = await receive()
            if message["type"] == "http.request":
                whole = not message.get("more_body", False)
                return message
        broken_off.cancel()
        await anyio.lowlevel.checkpoint()
        raise RuntimeError("a request that was broken off is still read")

    return next_piece
