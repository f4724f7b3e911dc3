"""Checks of an HTTP request before its token: size of its headers, Host, Origin, rate, and its peer's share of places.

Plain ASGI, around the whole application. /healthz and /readyz are exempt: probes use any Host, and neither path does
work at the expense of others. The metadata of an OAuth resource needs no token, and is checked like any other request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from airflow_mcp.addresses import derive_peer
from airflow_mcp.fair_share import FairShare
from airflow_mcp.server.http.refusals import Refusal, Refusals

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
LARGEST_HEADERS = 32 * 1024  # bytes of the request line and all headers
MOST_HEADERS = 200  # of one request; browsers and proxies send some tens
UNREAD_KEY = "airflow_mcp.unread"
"""Key in the scope of a request that could not be read; its value is the status to refuse it with."""
_PLACE_KEY = "airflow_mcp.visit"
_NAME = re.compile(r"[A-Za-z0-9._:/\[\]-]{1,100}")  # a Host or Origin that can be quoted


@dataclass(frozen=True)
class GateLimits:
    """Limits of requests. `hosts` and `origins` in lower case, as the SDK takes them: exact, or ":*" for any port."""

    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    calls: int  # answered at once
    per_minute: int  # requests of one caller, and of one address without a token
    body: int = 1_048_576  # bytes of one body
    body_seconds: float = 20.0  # that one body may take
    sessions: int = 1_000
    listeners: int = 4_096  # streams that only wait for the server to speak


class Gate:
    """Passes a request on to `app`, or refuses it with one sentence that says what to do."""

    def __init__(
        self, app: ASGIApp, limits: GateLimits, refusals: Refusals, exempt_paths: frozenset[str] = frozenset()
    ) -> None:
        """Wrap `app`; `exempt_paths` are exempt from the Host allow-list, as OPEN_PATHS are."""
        self._app = app
        self._limits = limits
        self._refusals = refusals
        self._exempt_paths = exempt_paths
        self._strangers = FairShare(limits.calls)  # requests whose token is not checked yet, by peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        peer = find_peer(scope)
        refusal = self._refuse_unreadable(scope)
        if refusal is None and scope["path"] in OPEN_PATHS and "authorization" not in headers:
            await self._app(scope, receive, send)
            return
        if refusal := refusal or self._refuse_stranger(headers, scope["path"]):
            limited = self._refusals.take(f"address {peer}", "one address")
            await self._refusals.refuse(limited or refusal, scope, receive, send)
            return
        if not self._strangers.take(peer):
            await self._refusals.refuse(build_busy_refusal(self._limits.calls, "one address"), scope, receive, send)
            return
        scope["headers"] = [_in_small_letters(name, value) for name, value in scope["headers"]]
        # In the scope itself, not in a copy, from which `user` could not be read later.
        place = scope[_PLACE_KEY] = _GatePlace(lambda: self._strangers.give_back(peer))
        try:
            await self._app(scope, receive, send)
        finally:
            place.release()

    @staticmethod
    def _refuse_unreadable(scope: Scope) -> Refusal | None:
        status = scope.get(UNREAD_KEY, 0)
        size = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
        size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])  # 4: ": " and the end of the line
        if status == 431 or size > LARGEST_HEADERS:
            sentence = f"The address and headers of this request have more than {LARGEST_HEADERS // 1024} KiB."
            return Refusal("headers", 431, sentence)
        if len(scope["headers"]) > MOST_HEADERS:
            return Refusal("headers", 431, f"This request has more than {MOST_HEADERS} headers.")
        if status:
            return Refusal("malformed", status, "This is no request of HTTP/1.1 that can be read.")
        return None

    def _refuse_stranger(self, headers: Headers, path: str) -> Refusal | None:
        """Refuse a Host or Origin that is not in its allow-list: a page in a browser must not reach this server."""
        host, origins = headers.get("host", ""), headers.getlist("origin")
        if path not in self._exempt_paths | OPEN_PATHS and not _is_among(host, self._limits.hosts):
            return Refusal(
                "host",
                421,
                f"{_quote_header('Host', host)} is not accepted here. If clients reach this server by that name, as "
                "behind a "
                "proxy, its operator adds it to AIRFLOW_MCP_HTTP_ALLOWED_HOSTS (--allowed-host).",
            )
        if origin := next((value for value in origins if value and not _is_among(value, self._limits.origins)), ""):
            return Refusal(
                "origin",
                403,
                f"{_quote_header('Origin', origin)} is not accepted here. If web pages from there may use this "
                "server, its "
                "operator adds it to AIRFLOW_MCP_HTTP_ALLOWED_ORIGINS (--allowed-origin).",
            )
        return None


class _GatePlace:
    """The place of a request in the concurrency limit until its token is checked."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave: Callable[[], None] | None = leave

    def release(self) -> None:
        """Give the place back; again, do nothing."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


def release_gate_place(scope: Scope) -> None:
    """Give back a request's place at the gate: from here on it counts in its caller's share, or is answered at once."""
    place: _GatePlace | None = scope.get(_PLACE_KEY)
    if place:
        place.release()


def find_peer(scope: Scope) -> str:
    """Return the peer of a request's connection, or the client that a trusted proxy forwarded it for."""
    client = scope.get("client")
    return derive_peer(client[0]) if client else "unknown"


def build_busy_refusal(calls: int, subject: str) -> Refusal:
    """Build the refusal of a request beyond its sender's share; `subject` is "one caller" or "one address"."""
    sentence = f"This server answers {calls} requests at once, and {subject} gets a share of them: it is busy. "
    return Refusal("busy", 503, f"{sentence}Try again in a second.", wait=1)


def _quote_header(name: str, value: str) -> str:
    """Name a header in a sentence, with its value only where that is well-formed, since clients may send anything."""
    return f"{name} {value!r}" if not value or _NAME.fullmatch(value) else f"A {name} that is none"


def _is_among(value: str, accepted: Iterable[str]) -> bool:
    """Tell whether a Host or Origin is accepted, as the SDK matches it, in letters of any case (RFC 9110, 4.2.3)."""
    value = value.lower()
    return any(
        value == pattern
        or (pattern.endswith(":*") and value.startswith(pattern[:-1]) and value[len(pattern) - 1 :].isdecimal())
        for pattern in accepted
    )


def _in_small_letters(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return the header with Host and Origin in lower case, since the SDK compares them case-sensitively."""
    return name, value.lower() if name in (b"host", b"origin") else value
