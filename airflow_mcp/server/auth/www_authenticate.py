"""The scopes that a client must request of its issuer, added to the SDK's WWW-Authenticate headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ScopeChallenge:
    """Adds `scope` to the WWW-Authenticate header of 401 and 403 (RFC 6750, 3; MCP 2026-07-28, authorization)."""

    def __init__(self, app: ASGIApp, scopes: Iterable[str]) -> None:
        """Wrap `app`; `scopes` are at least one, as RFC 6749, 3.3 allows them, so without quotes."""
        self._app = app
        self._words = f', scope="{" ".join(scopes)}"'.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call."""

        async def challenge(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (401, 403):
                headers = [
                    (name, value + self._words if name.lower() == b"www-authenticate" else value)
                    for name, value in message["headers"]
                ]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, challenge)
