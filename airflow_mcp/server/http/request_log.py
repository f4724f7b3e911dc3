"""What is known of every HTTP request, refused ones too: its id, the trace it belongs to, and a line in the log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from opentelemetry.context import attach, detach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers, MutableHeaders

from airflow_mcp.redact import redact_text
from airflow_mcp.server.auth.principal import Identity
from airflow_mcp.server.telemetry.logs import http_request_id
from airflow_mcp.text import shorten

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)
_ID = "X-Request-Id"
_HARMLESS = re.compile(r"[A-Za-z0-9_.:=+/-]{1,64}")
_SHOWN = 100  # characters of a path
_TRACE = 512  # characters of traceparent and tracestate (W3C Trace Context, 3.3.1.5)
_trace_context = TraceContextTextMapPropagator()


class RequestLog:
    """Around the whole application, as plain ASGI."""

    def __init__(self, app: ASGIApp, refused: Callable[[str], None]) -> None:
        """`refused` is told why a request was turned away by what lies inside the gate: for its token or its size."""
        self._app = app
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = choose_request_id(headers.get(_ID, ""))
        began = time.monotonic()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = MutableHeaders(scope=message)
                named[_ID] = request_id
                if reason := _find_reason(status, named):
                    self._refused(reason)
            await send(message)

        # A client's own traceparent, in the message's _meta, comes before the one that a proxy may have set here.
        # The library warns of each value that is too long, and anyone can send one.
        carried = {name: headers[name] for name in _trace_context.fields if 0 < len(headers.get(name, "")) <= _TRACE}
        traced = attach(_trace_context.extract(carried))
        token = http_request_id.set(request_id)
        try:
            await self._app(scope, receive, answer)
        finally:
            if _log.isEnabledFor(logging.INFO):
                _log_request(scope, status, time.monotonic() - began)
            http_request_id.reset(token)
            detach(traced)


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    # Cut before it is worked on; what begins in the part that is shown is still whole enough to be known as a secret.
    path = shorten(redact_text(quote(scope["path"][: 4 * _SHOWN])), _SHOWN)
    address = scope["client"][0] if scope.get("client") else "-"
    values = (scope["method"], path, status or "no answer", seconds, address)
    _log.info("%s %s %s %.3f s from %s", *values, extra={"caller": _find_caller(scope)})


def _find_caller(scope: Scope) -> str:
    """The name of whoever was let in by a token."""
    match scope.get("user"):
        case AuthenticatedUser(access_token=Identity(name=name)):
            return name
        case _:
            return ""


def choose_request_id(header: str) -> str:
    """The id that a client or proxy gave, where it is a short harmless word and no secret; else a new one."""
    if _HARMLESS.fullmatch(header) and redact_text(header) == header:
        return header
    return uuid.uuid4().hex


def _find_reason(status: int, headers: MutableHeaders) -> str:
    if status in (401, 403) and "www-authenticate" in headers:
        return "token" if status == 401 else "scope"
    return "body" if status == 413 else ""
