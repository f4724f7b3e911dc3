"""The id, trace context and log line of every HTTP request, refused ones included."""

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
    """Wraps the whole application, as plain ASGI."""

    def __init__(self, app: ASGIApp, refused: Callable[[str], None]) -> None:
        """Wrap `app`; `refused` gets the reason of a refusal behind the gate: token, scope or size of the body."""
        self._app = app
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = choose_request_id(headers.get(_ID, ""))
        start = time.monotonic()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer_headers = MutableHeaders(scope=message)
                answer_headers[_ID] = request_id
                if reason := _find_reason(status, answer_headers):
                    self._refused(reason)
            await send(message)

        # A client's own traceparent, in the message's _meta, wins over the header, which a proxy may have set.
        # Long values are dropped here since the library logs a warning for each, and anyone can send them.
        context = {name: headers[name] for name in _trace_context.fields if 0 < len(headers.get(name, "")) <= _TRACE}
        trace_token = attach(_trace_context.extract(context))
        id_token = http_request_id.set(request_id)
        try:
            await self._app(scope, receive, answer)
        finally:
            if _log.isEnabledFor(logging.INFO):
                _log_request(scope, status, time.monotonic() - start)
            http_request_id.reset(id_token)
            detach(trace_token)


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    # Cut first, to bound the work, but to four times the logged size: a secret is recognized only as a whole.
    path = shorten(redact_text(quote(scope["path"][: 4 * _SHOWN])), _SHOWN)
    address = scope["client"][0] if scope.get("client") else "-"
    values = (scope["method"], path, status or "no answer", seconds, address)
    _log.info("%s %s %s %.3f s from %s", *values, extra={"caller": _find_caller(scope)})


def _find_caller(scope: Scope) -> str:
    """Return the name of the bearer of an accepted token; empty without one."""
    match scope.get("user"):
        case AuthenticatedUser(access_token=Identity(name=name)):
            return name
        case _:
            return ""


def choose_request_id(header: str) -> str:
    """Return the id of a client or proxy where it is a short harmless word and no secret; else a new one."""
    if _HARMLESS.fullmatch(header) and redact_text(header) == header:
        return header
    return uuid.uuid4().hex


def _find_reason(status: int, headers: MutableHeaders) -> str:
    if status in (401, 403) and "www-authenticate" in headers:
        return "token" if status == 401 else "scope"
    return "body" if status == 413 else ""
