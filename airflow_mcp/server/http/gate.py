"""What a request over HTTP must pass before its token is looked at: size of its headers, Host, Origin, rate, a place.

Plain ASGI, around the whole application. /healthz and /readyz pass without: probes come by any name, and neither does
work that others pay for. The metadata of an OAuth resource needs no token, and passes here like any other request.
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
MOST_HEADERS = 200  # of one request: browsers and proxies send some tens
UNREAD_KEY = "airflow_mcp.unread"
"""Key of a scope whose request could not be read; its value is the status to refuse it with."""
_PLACE_KEY = "airflow_mcp.visit"
_NAME = re.compile(r"[A-Za-z0-9._:/\[\]-]{1,100}")  # a Host or Origin that can be quoted


@dataclass(frozen=True)
class GateLimits:
    """What may come in. `hosts` and `origins` as the SDK takes them, in small letters: exact, or ":*" for any port."""

    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    calls: int  # answered at once
    per_minute: int  # of one caller, and from one address of those who are nobody
    body: int = 1_048_576  # bytes of one
    body_seconds: float = 20.0  # that one may take to come
    sessions: int = 1_000
    listeners: int = 4_096  # streams that only wait for the server to speak


class Gate:
    """Lets a request through to `app`, or answers it with one sentence that says what to do."""

    def __init__(
        self, app: ASGIApp, limits: GateLimits, refusals: Refusals, exempt_paths: frozenset[str] = frozenset()
    ) -> None:
        """`exempt_paths` are the paths exempt from the Host allow-list, beside those that are open."""
        self._app = app
        self._limits = limits
        self._refusals = refusals
        self._exempt_paths = exempt_paths
        self._strangers = FairShare(limits.calls)  # requests whose token is being looked at, by peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
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
        # In this scope itself, of which no copy is made: `user` is read from it.
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
        """The refusal of a Host or Origin that the operator did not name: a page in a browser must not reach us."""
        host, origins = headers.get("host", ""), headers.getlist("origin")
        if path not in self._exempt_paths | OPEN_PATHS and not _is_among(host, self._limits.hosts):
            return Refusal(
                "host",
                421,
                f"{_quote_header('Host', host)} is not accepted here. If clients reach this server by that name, as "
                "behind a "
                "proxy, its operator adds it to AIRFLOW_MCP_HTTP_ALLOWED_HOSTS (--allowed-host).",
            )
        if origin := next((one for one in origins if one and not _is_among(one, self._limits.origins)), ""):
            return Refusal(
                "origin",
                403,
                f"{_quote_header('Origin', origin)} is not accepted here. If web pages from there may use this "
                "server, its "
                "operator adds it to AIRFLOW_MCP_HTTP_ALLOWED_ORIGINS (--allowed-origin).",
            )
        return None


class _GatePlace:
    """A request's place before its token is known to be good."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave: Callable[[], None] | None = leave

    def release(self) -> None:
        """Give the place back, once."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


def release_gate_place(scope: Scope) -> None:
    """Give back the place that a request has at the gate: from here on it is somebody's, or answered at once."""
    place: _GatePlace | None = scope.get(_PLACE_KEY)
    if place:
        place.release()


def find_peer(scope: Scope) -> str:
    """Where a request comes from: the peer of its connection, or whom a trusted proxy forwarded it for."""
    client = scope.get("client")
    return derive_peer(client[0]) if client else "unknown"


def build_busy_refusal(calls: int, subject: str) -> Refusal:
    """The refusal of a request for which there is no place now. `subject` says in words what one sender is."""
    sentence = f"This server answers {calls} requests at once, and {subject} gets a share of them: it is busy. "
    return Refusal("busy", 503, f"{sentence}Try again in a second.", wait=1)


def _quote_header(name: str, value: str) -> str:
    """A header as a sentence names it: with its value only where that can be one, since anyone may write anything."""
    return f"{name} {value!r}" if not value or _NAME.fullmatch(value) else f"A {name} that is none"


def _is_among(value: str, accepted: Iterable[str]) -> bool:
    """Whether a Host or Origin is one of these, as the SDK reads them, in letters of any case (RFC 9110, 4.2.3)."""
    value = value.lower()
    return any(
        value == one or (one.endswith(":*") and value.startswith(one[:-1]) and value[len(one) - 1 :].isdecimal())
        for one in accepted
    )


def _in_small_letters(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """The same header; Host and Origin as the SDK, which tells upper from lower case, is to compare them."""
    return name, value.lower() if name in (b"host", b"origin") else value
