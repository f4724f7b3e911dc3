"""Each request to Airflow as a span of the caller's trace, told to the observer; of ids and arguments it says nothing.

Without the extra `otel` the span is none, and Airflow is sent no trace. Names follow OpenTelemetry's conventions for
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
_TRACEPARENT = "traceparent"  # and never tracestate or baggage, which would carry words of the caller to Airflow


@dataclass
class RequestOutcome:
    """What is known of a request when it is over."""

    status: int | None = None


@contextmanager
def trace_request(request: httpx2.Request, route: str, instance: str, observer: Observer) -> Generator[RequestOutcome]:
    """The span around one request and its answer. `route` is its path with the names of ids in place of the ids."""
    attributes = {"http.request.method": request.method, "url.template": route, "server.address": request.url.host}
    attributes["airflow_mcp.instance"] = instance
    began = time.monotonic()
    seen = RequestOutcome()
    with _span(f"{request.method} {route}".strip(), attributes) as span:
        _send_trace(request, span)
        try:
            yield seen
        except BaseException as error:  # whoever leaves while it runs, too
            _fail(span, type(error).__qualname__)
            raise
        else:
            if seen.status is not None:
                span.set_attribute("http.response.status_code", seen.status)
                if seen.status >= 400:
                    _fail(span, str(seen.status))
        finally:
            observer.request_ended(instance, seen.status, time.monotonic() - began)


def _span(name: str, attributes: dict[str, str]) -> AbstractContextManager[Span]:
    """A span within the current one; none where there is none, as for a probe: it would be a trace of its own."""
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
    """Airflow's own spans become children of this one, where it is one of ours and not just the client's."""
    context = span.get_span_context()
    if context.is_valid and not context.is_remote:
        carried: dict[str, str] = {}
        _trace_context.inject(carried)
        request.headers[_TRACEPARENT] = carried[_TRACEPARENT]


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)
