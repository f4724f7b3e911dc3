"""Admission of an authenticated HTTP request: its rate, its narrowing, and its caller's share of concurrency limits.

It runs after the check of tokens, so that only callers learn the names of Airflows, toolsets and headers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.datastructures import Headers

from airflow_mcp.addresses import is_loopback
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.fair_share import SOLE_HOLDER, FairShare
from airflow_mcp.server.auth.airflow_token_headers import AirflowTokenHeaders
from airflow_mcp.server.auth.principal import Identity, RequestNarrowing, read_narrowing, request_narrowing
from airflow_mcp.server.http.body_limit import BodyLimit
from airflow_mcp.server.http.gate import OPEN_PATHS, build_busy_refusal, find_peer, release_gate_place
from airflow_mcp.server.http.refusals import Refusal, Refusals
from airflow_mcp.server.http.sessions import Sessions, is_modern

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_mcp.server.http.gate import GateLimits

_LISTEN = "subscriptions/listen"  # MCP 2026-07-28: a request whose answer lasts as long as its sender listens


@dataclass(frozen=True)
class AdmissionRules:
    """The names that a request may use, and the scopes that it needs."""

    toolsets: frozenset[str]
    instances: tuple[str, ...]
    token_headers: AirflowTokenHeaders = field(default_factory=AirflowTokenHeaders)
    scopes: Collection[str] | None = None  # that a token must have; None where no token is needed


class Admission:
    """Passes a caller's request on to `app` within the caller's share of the concurrency limits."""

    def __init__(self, app: ASGIApp, limits: GateLimits, rules: AdmissionRules, refusals: Refusals) -> None:
        self._app = app
        self._limits = limits
        self._rules = rules
        self._refusals = refusals
        self._calls = FairShare(limits.calls)
        self._listeners = FairShare(limits.listeners)
        self._bodies = BodyLimit(limits.calls, limits.body, limits.body_seconds)
        self._sessions = Sessions(app, limits.sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        release_gate_place(scope)
        user = scope.get("user")
        identity = user.access_token if isinstance(user, AuthenticatedUser) else None
        peer = find_peer(scope)
        sender, subject = f"address {peer}", "one address"
        if isinstance(identity, Identity):
            sender, subject = f"caller {identity.name}", "one caller"
        headers = Headers(scope=scope)
        is_probe = scope["path"] in OPEN_PATHS and "authorization" not in headers
        if not is_probe and (limited := self._refusals.take(sender, subject)):
            await self._refusals.refuse(limited, scope, receive, send)
            return
        if scope["path"] in OPEN_PATHS or not self._is_identified(identity):
            await self._app(scope, receive, send)  # it answers 401 or 403 where it needs a token
            return
        share = SOLE_HOLDER if identity is None and is_loopback(peer) else sender
        try:
            narrowing = read_narrowing(headers.items(), self._rules.toolsets, self._rules.instances)
            narrowing = replace(narrowing, tokens=self._rules.token_headers.extract(headers.items()), share=share)
        except InvalidArgumentsError as error:
            await self._refusals.refuse(Refusal("narrowing", 400, str(error)), scope, receive, send)
            return
        if refusal := await self._admit(narrowing, subject, scope, receive, send):
            await self._refusals.refuse(refusal, scope, receive, send)

    def _is_identified(self, identity: object) -> bool:
        """Tell whether the sender has the token and scopes that it needs."""
        if self._rules.scopes is None:
            return True
        return isinstance(identity, Identity) and set(self._rules.scopes) <= set(identity.scopes)

    async def _admit(
        self, narrowing: RequestNarrowing, subject: str, scope: Scope, receive: Receive, send: Send
    ) -> Refusal | None:
        token = request_narrowing.set(narrowing)
        try:
            if _is_stream(scope):
                return await self._run_in_place(self._listeners, narrowing.share, subject, scope, receive, send)
            refusal: Refusal | None = None

            async def call(scope: Scope, receive: Receive, send: Send) -> None:
                nonlocal refusal
                refusal = await self._run_in_place(self._calls, narrowing.share, subject, scope, receive, send)

            return await self._bodies.hand_over(call, narrowing.share, scope, receive, send) or refusal
        finally:
            request_narrowing.reset(token)

    async def _run_in_place(
        self, places: FairShare, share: str, subject: str, scope: Scope, receive: Receive, send: Send
    ) -> Refusal | None:
        if not places.take(share):
            return build_busy_refusal(places.places, subject)
        try:
            return await self._sessions.serve(share, scope, receive, send)
        finally:
            places.give_back(share)


def _is_stream(scope: Scope) -> bool:
    """Tell whether a request is a stream from the server, which waits and does not count as a call."""
    if scope["method"] == "GET":
        return True
    headers = Headers(scope=scope)
    return is_modern(headers) and headers.get("mcp-method") == _LISTEN
