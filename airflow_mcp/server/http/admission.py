"""What a request over HTTP may have once it is known who sends it: its narrowing, and the places of its caller.

It stands behind the check of tokens, so that names of Airflows, toolsets and headers are told to callers alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.datastructures import Headers

from airflow_mcp.addresses import is_loopback
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.server.auth.own_tokens import OwnTokens
from airflow_mcp.server.auth.principal import Identity, Narrowed, narrowed, narrowing_of
from airflow_mcp.server.http.body_limit import Bodies
from airflow_mcp.server.http.gate import OPEN, busy, end_visit, peer_in
from airflow_mcp.server.http.refusals import Refusal, Refusals
from airflow_mcp.server.http.sessions import Sessions, is_modern
from airflow_mcp.shares import ALONE, Shares

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_mcp.server.http.gate import Limits

_LISTEN = "subscriptions/listen"  # MCP 2026-07-28: a request that is answered as long as its sender listens


@dataclass(frozen=True)
class Known:
    """What a request may name, and who has to say who it is."""

    toolsets: frozenset[str]
    instances: tuple[str, ...]
    own_tokens: OwnTokens = field(default_factory=OwnTokens)
    scopes: Collection[str] | None = None  # that a token must have; None where nobody needs one


class Admission:
    """Lets a caller's request through to `app` within the caller's share of the places."""

    def __init__(self, app: ASGIApp, limits: Limits, known: Known, refusals: Refusals) -> None:
        self._app = app
        self._limits = limits
        self._known = known
        self._refusals = refusals
        self._calls = Shares(limits.calls)
        self._listeners = Shares(limits.listeners)
        self._bodies = Bodies(limits.calls, limits.body, limits.body_seconds)
        self._sessions = Sessions(app, limits.sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        end_visit(scope)
        user = scope.get("user")
        identity = user.access_token if isinstance(user, AuthenticatedUser) else None
        peer = peer_in(scope)
        sender, whose = f"address {peer}", "one address"
        if isinstance(identity, Identity):
            sender, whose = f"caller {identity.name}", "one caller"
        headers = Headers(scope=scope)
        is_probe = scope["path"] in OPEN and "authorization" not in headers
        if not is_probe and (limited := self._refusals.take(sender, whose)):
            await self._refusals.refuse(limited, scope, receive, send)
            return
        if scope["path"] in OPEN or not self._is_known(identity):
            await self._app(scope, receive, send)  # which answers 401 or 403 where it wants a token
            return
        share = ALONE if identity is None and is_loopback(peer) else sender
        try:
            wanted = narrowing_of(headers.items(), self._known.toolsets, self._known.instances)
            wanted = replace(wanted, tokens=self._known.own_tokens.of(headers.items()), share=share)
        except InvalidArgumentsError as error:
            await self._refusals.refuse(Refusal("narrowing", 400, str(error)), scope, receive, send)
            return
        if refusal := await self._let_in(wanted, whose, scope, receive, send):
            await self._refusals.refuse(refusal, scope, receive, send)

    def _is_known(self, identity: object) -> bool:
        """Whether who asks has said who it is as far as it must."""
        if self._known.scopes is None:
            return True
        return isinstance(identity, Identity) and set(self._known.scopes) <= set(identity.scopes)

    async def _let_in(self, wanted: Narrowed, whose: str, scope: Scope, receive: Receive, send: Send) -> Refusal | None:
        token = narrowed.set(wanted)
        try:
            if _listens(scope):
                return await self._in_place(self._listeners, wanted.share, whose, scope, receive, send)
            refusal: Refusal | None = None

            async def call(scope: Scope, receive: Receive, send: Send) -> None:
                nonlocal refusal
                refusal = await self._in_place(self._calls, wanted.share, whose, scope, receive, send)

            return await self._bodies.hand_over(call, wanted.share, scope, receive, send) or refusal
        finally:
            narrowed.reset(token)

    async def _in_place(
        self, places: Shares, share: str, whose: str, scope: Scope, receive: Receive, send: Send
    ) -> Refusal | None:
        if not places.take(share):
            return busy(places.places, whose)
        try:
            return await self._sessions.serve(share, scope, receive, send)
        finally:
            places.give_back(share)


def _listens(scope: Scope) -> bool:
    """Whether a request is a stream from the server: it waits, and takes no place of a call."""
    if scope["method"] == "GET":
        return True
    headers = Headers(scope=scope)
    return is_modern(headers) and headers.get("mcp-method") == _LISTEN
