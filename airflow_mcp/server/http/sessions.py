"""Sessions of the older protocol (MCP before 2026-07-28): a fair share of them for each caller.

A client that is restarted leaves its session behind. So a caller that opens more than its share loses its least
recently used session; its client gets 404 and opens another (MCP 2025-11-25, session management).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers

from airflow_mcp.fair_share import FairShare
from airflow_mcp.server.http.refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

IDLE_SECONDS = 30 * 60  # after which an unused session ends


@dataclass
class _Session:
    holder: str
    ending: Scope  # the request that ends the session, with the caller who opened it
    latest: float
    requests: int = field(default=0)  # in flight


class Sessions:
    """Counts the sessions that `app` holds, and ends idle ones for new ones."""

    def __init__(self, app: ASGIApp, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._places = FairShare(most)
        self._clock = clock
        self._open: dict[str, _Session] = {}  # least recently used first

    async def serve(self, holder: str, scope: Scope, receive: Receive, send: Send) -> Refusal | None:
        """Run the application on one request; return a refusal where it would open a session too many."""
        headers = Headers(scope=scope)
        session_id = headers.get(MCP_SESSION_ID_HEADER)
        if (session := self._open.get(session_id or "")) is not None:
            await self._use(session_id or "", session, scope, receive, send)
            return None
        if session_id or scope["method"] != "POST" or is_modern(headers):
            await self._app(scope, receive, send)
            return None
        if not await self._free_place(holder):
            number = self._places.count_places(holder)
            sentence = f"Of this server's sessions this caller uses {number} at this moment, which is its share. "
            return Refusal("sessions", 503, f"{sentence}End one (DELETE), or try again in a minute.", wait=60)
        await self._begin(holder, scope, receive, send)
        return None

    async def _use(self, session_id: str, session: _Session, scope: Scope, receive: Receive, send: Send) -> None:
        session.requests += 1
        has_ended = False

        async def watch(message: Message) -> None:
            nonlocal has_ended
            if message["type"] == "http.response.start":
                status = message["status"]
                has_ended = status == 404 or (scope["method"] == "DELETE" and status < 300)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            session.requests -= 1
            session.latest = self._clock()
            if has_ended:
                self._forget(session_id)
            elif session_id in self._open:
                self._open[session_id] = self._open.pop(session_id)

    async def _begin(self, holder: str, scope: Scope, receive: Receive, send: Send) -> None:
        session_id = ""

        async def watch(message: Message) -> None:
            nonlocal session_id
            if message["type"] == "http.response.start" and message["status"] < 400:
                session_id = Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER, "")
                if session_id:
                    self._open[session_id] = _Session(holder, _build_ending(scope, session_id), self._clock())
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            if not session_id:
                self._places.give_back(holder)

    async def _free_place(self, holder: str) -> bool:
        """Take a place for a session, if need be by ending the holder's least recently used idle one."""
        while self._open:
            session_id, session = next(iter(self._open.items()))
            if session.requests or session.latest > self._clock() - IDLE_SECONDS:
                break
            self._forget(session_id)  # the application has ended it
        if self._places.take(holder):
            return True
        idle_ids = (name for name, session in self._open.items() if session.holder == holder and not session.requests)
        if (oldest := next(idle_ids, None)) is None:
            return False
        if (session := self._forget(oldest)) is not None:
            await self._app(session.ending, _receive_nothing, _discard)
        return self._places.take(holder)

    def _forget(self, session_id: str) -> _Session | None:
        session = self._open.pop(session_id, None)
        if session is not None:
            self._places.give_back(session.holder)
        return session


def is_modern(headers: Headers) -> bool:
    """Tell whether a request declares MCP 2026-07-28 or newer, which has no sessions."""
    version = headers.get("mcp-protocol-version")
    return version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS


def _build_ending(opening: Scope, session_id: str) -> Scope:
    """Build the request by which the client that sent `opening` would end its session."""
    headers = [pair for pair in opening["headers"] if pair[0] in (b"host", b"accept")]
    return {**opening, "method": "DELETE", "headers": [*headers, (MCP_SESSION_ID_HEADER.encode(), session_id.encode())]}


async def _receive_nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _discard(message: Message) -> None:
    del message
