"""Trace each request to Airflow as a span of the caller's trace and tell the observer, without ids or arguments.

Without the extra `otel` there is no span, and Airflow is sent no trace. Names follow OpenTelemetry's conventions for
HTTP clients (semantic conventions 1.23 and newer).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version

import httpx2
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, get_current_span, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from airflow_mcp.observer import Observer

_tracer = get_tracer("airflow-mcp", version("airflow-mcp"))
_trace_context = TraceContextTextMapPropagator()
_TRACEPARENT = "traceparent"  # never tracestate or baggage, which would carry the caller's words to Airflow


@dataclass
class RequestOutcome:
    """The outcome of a request that is over."""

    status: int | None = None


@contextmanager
def trace_request(request: httpx2.Request, route: str, instance: str, observer: Observer) -> Generator[RequestOutcome]:
    """Open the span around one request and its answer.

    `route` is the request's path with the names of ids in place of the ids.
    """
    attributes = {"http.request.method": request.method, "url.template": route, "server.address": request.url.host}
    attributes["airflow_mcp.instance"] = instance
    start_time = time.monotonic()
    outcome = RequestOutcome()
    with _span(f"{request.method} {route}".strip(), attributes) as span:
        _send_trace(request, span)
        try:
            yield outcome
        except BaseException as error:  # including cancellation
            _fail(span, type(error).__qualname__)
            raise
        else:
            if outcome.status is not None:
                span.set_attribute("http.response.status_code", outcome.status)
                if outcome.status >= 400:
                    _fail(span, str(outcome.status))
        finally:
            observer.request_ended(instance, outcome.status, time.monotonic() - start_time)


def _span(name: str, attributes: dict[str, str]) -> AbstractContextManager[Span]:
    """Start a span within the current one; without one, as for a probe, there is none: it would be its own trace."""
    if not get_current_span().get_span_context().is_valid:
        return nullcontext(INVALID_SPAN)
    return _tracer.start_as_current_span(
        name,
        kind=SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,  # its words may name an id
        set_status_on_exception=False,
    )


def _send_trace(request: httpx2.Request, span: Span) -> None:
    """Make Airflow's own spans children of this one, if it is one of this server's and not just the client's."""
    context = span.get_span_context()
    if context.is_valid and not context.is_remote:
        carrier: dict[str, str] = {}
        _trace_context.inject(carrier)
        request.headers[_TRACEPARENT] = carrier[_TRACEPARENT]


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)
