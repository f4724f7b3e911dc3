"""Spans as they may leave: names and attributes redacted and short, and no words of an error, which may hold ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten

_LONGEST = 200  # characters: a caller chooses the words of some names


class CarefulExporter(SpanExporter):
    """Hands every span to another exporter, without what must not leave."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        return self._exporter.export([_careful(span) for span in spans])

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanExporter."""
        return self._exporter.force_flush(timeout_millis)


def _careful(span: ReadableSpan) -> ReadableSpan:
    """The same span without events (a crash with its traceback) and without the description of its status."""
    return ReadableSpan(
        name=_shown(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: _shown(value) for name, value in (span.attributes or {}).items()},
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _shown(value: Any) -> Any:
    return shorten(redact_text(clean(value)), _LONGEST) if isinstance(value, str) else value
