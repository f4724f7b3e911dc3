"""Redaction of exported spans: names and attributes are masked and short, texts of errors, which may hold ids, go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, Status

from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten

_TOOL = "gen_ai.tool.name"  # the attribute that MCP's SDK sets
_LONGEST = 200  # characters: a caller chooses the text of some names


class RedactingExporter(SpanExporter):
    """Hands every span to another exporter, without what must not leave the process."""

    def __init__(self, exporter: SpanExporter, tools: Collection[str]) -> None:
        """Keep only the names in `tools` as tool names: a caller may send any text as one."""
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
    """Return the span without events (a crash with its traceback), description of its status and unknown tool names."""
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
    """Return the context without `tracestate`, whose text the client chooses."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def _redact_value(value: Any) -> Any:
    return shorten(redact_text(clean(value)), _LONGEST) if isinstance(value, str) else value
