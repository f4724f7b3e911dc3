"""Spans as they may leave: names and attributes redacted and short, and no words of an error, which may hold ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, Status

from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten

_TOOL = "gen_ai.tool.name"  # as MCP's SDK has it
_LONGEST = 200  # characters: a caller chooses the words of some names


class RedactingExporter(SpanExporter):
    """Hands every span to another exporter, without what must not leave."""

    def __init__(self, exporter: SpanExporter, tools: Collection[str]) -> None:
        """`tools` are the names of tools that may leave: a caller may send any word as one."""
        self._exporter = exporter
        self._tools = tools

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        return self._exporter.export([_redact_span(span, self._tools) for span in spans])

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanExporter."""
        return self._exporter.force_flush(timeout_millis)


def _redact_span(span: ReadableSpan, tools: Collection[str]) -> ReadableSpan:
    """The same span without events (a crash with its traceback), the description of its status, and others' words."""
    attributes = {name: _redact_value(value) for name, value in (span.attributes or {}).items()}
    name, tool = _redact_value(span.name), attributes.get(_TOOL)
    if tool is not None and tool not in tools:
        attributes[_TOOL] = "unknown"
        name = f"{name.partition(' ')[0]} unknown"
    return ReadableSpan(
        name=name,
        context=_strip_state(span.context),
        parent=_strip_state(span.parent),
        resource=span.resource,
        attributes=attributes,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _strip_state(context: SpanContext | None) -> SpanContext | None:
    """Without `tracestate`, which is whatever the client wrote."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def _redact_value(value: Any) -> Any:
    return shorten(redact_text(clean(value)), _LONGEST) if isinstance(value, str) else value
