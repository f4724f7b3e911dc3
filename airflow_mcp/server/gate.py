"""What a request over HTTP must pass before anything reads it: Host, Origin, rate, concurrency, narrowing headers.

Plain ASGI, around the whole application. /healthz and /readyz pass unchecked: they tell nothing worth protecting. The
metadata of an OAuth resource needs no token, and passes here like any other request.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.redact import redact_text
from airflow_mcp.server.identity import Narrowed, narrowed, narrowing_of
from airflow_mcp.server.own_tokens import OwnTokens
from airflow_mcp.server.patience import run_in_time
from airflow_mcp.text import clean, shorten
from airflow_mcp.throttle import Sometimes
from airflow_mcp.tools.guarding.rates import WINDOW, seconds_until_free

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/healthz", "/readyz"})
_sometimes = Sometimes(logging.getLogger(__name__))
_MOST_ADDRESSES = 10_000
_LISTENERS = 16  # open ears of sessions, for each request that may be answered at once: they only wait


def _nobody_counts(reason: str) -> None:
    del reason


@dataclass(frozen=True)
class Limits:
    """What may come in. `hosts` and `origins` as the SDK takes them: exact, or with ":*" for any port."""

    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    calls: int  # answered at once
    per_minute: int  # from one address


@dataclass
class Gate:
    """Lets a request through to `app`, or answers it with one sentence that says what to do."""

    app: ASGIApp
    limits: Limits
    toolsets: frozenset[str]
    instances: tuple[str, ...]
    own_tokens: OwnTokens = field(default_factory=OwnTokens)
    clock: Callable[[], float] = time.monotonic
    body_seconds: float = 20.0  # that the body of a request may take
    refused: Callable[[str], None] = _nobody_counts  # told why a request was turned away
    by_any_name: frozenset[str] = frozenset()  # paths where a Host that nobody named does no harm
    _inside: Counter[bool] = field(default_factory=Counter)  # by whether they only listen
    _seen: dict[str, deque[float]] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refusal := self._stranger(headers, scope["path"]) or self._too_often(scope):
            await self._refuse(refusal, scope, receive, send)
            return
        try:
            wanted = narrowing_of(headers.items(), self.toolsets, self.instances)
            wanted = replace(wanted, tokens=self.own_tokens.of(headers.items()))
        except InvalidArgumentsError as error:
            await self._refuse(_Refusal("narrowing", 400, str(error)), scope, receive, send)
            return
        listens = scope["method"] == "GET"
        if self._inside[listens] >= self.limits.calls * (_LISTENERS if listens else 1):
            sentence = f"This server answers {self.limits.calls} requests at once and is busy. Try again in a second."
            await self._refuse(_Refusal("busy", 503, sentence, wait=1), scope, receive, send)
            return
        await self._let_in(scope, receive, send, wanted, listens=listens)

    async def _refuse(self, refusal: _Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        self.refused(refusal.reason)
        if refusal.reason not in ("rate", "busy"):  # which are no mistake of anybody's settings
            _sometimes.warn(refusal.reason, f"a request was refused ({refusal.status_code}): {refusal.sentence}")
        await refusal(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, wanted: Narrowed, *, listens: bool) -> None:
        token = narrowed.set(wanted)
        self._inside[listens] += 1
        try:
            if not await run_in_time(self.app, scope, receive, send, self.body_seconds):
                sentence = f"The body of this request did not come within {self.body_seconds:g} seconds. Send it again."
                await self._refuse(_Refusal("slow", 408, sentence), scope, receive, send)
        finally:
            self._inside[listens] -= 1
            narrowed.reset(token)

    def _stranger(self, headers: Headers, path: str) -> _Refusal | None:
        """The refusal of a Host or Origin that the operator did not name: a page in a browser must not reach us."""
        host, origin = headers.get("host", ""), headers.get("origin", "")
        if path not in self.by_any_name and not _is_among(host, self.limits.hosts):
            return _Refusal(
                "host",
                421,
                f"Host {host!r} is not accepted here. If clients reach this server by that name, as behind a proxy, "
                "its operator adds it to AIRFLOW_MCP_HTTP_ALLOWED_HOSTS (--allowed-host).",
            )
        if origin and not _is_among(origin, self.limits.origins):
            return _Refusal(
                "origin",
                403,
                f"Origin {origin!r} is not accepted here. If web pages from there may use this server, its operator "
                "adds it to AIRFLOW_MCP_HTTP_ALLOWED_ORIGINS (--allowed-origin).",
            )
        return None

    def _too_often(self, scope: Scope) -> _Refusal | None:
        now = self.clock()
        address = scope["client"][0] if scope.get("client") else ""
        if address not in self._seen and len(self._seen) >= _MOST_ADDRESSES:
            self._seen = {one: times for one, times in self._seen.items() if times and times[-1] > now - WINDOW}
            address = address if len(self._seen) < _MOST_ADDRESSES else ""  # a flood of addresses shares one count
        times = self._seen.setdefault(address, deque())
        if seconds := seconds_until_free(times, self.limits.per_minute, now):
            wait = math.ceil(seconds)
            sentence = (
                f"{self.limits.per_minute} requests a minute are accepted from one address. Try again in {wait} s."
            )
            return _Refusal("rate", 429, sentence, wait=wait)
        times.append(now)
        return None


def _is_among(value: str, accepted: Iterable[str]) -> bool:
    """Whether a Host or Origin is one of these, as MCP's SDK reads them."""
    return any(
        value == one or (one.endswith(":*") and value.startswith(one[:-1]) and value[len(one) - 1 :].isdecimal())
        for one in accepted
    )


class _Refusal(JSONResponse):
    """One sentence for whoever sent the request, and one word for whoever counts."""

    def __init__(self, reason: str, status: int, sentence: str, wait: int = 0) -> None:
        text = shorten(redact_text(clean(sentence)), 400)
        self.sentence = text
        super().__init__({"error": text}, status, {"Retry-After": str(wait)} if wait else {})
        self.reason = reason
