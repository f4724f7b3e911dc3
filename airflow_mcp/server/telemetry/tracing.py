"""Export of traces, where OpenTelemetry's own variables ask for it; without them its SDK is not imported.

MCP's SDK makes the span of each message, and airflow/request_span.py that of each request to Airflow. The extra `otel`
brings the exporter (OTLP over HTTP).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from importlib.metadata import version

import anyio
import anyio.to_thread
from opentelemetry import trace

from airflow_mcp.catalog.loader import load_catalog

_log = logging.getLogger(__name__)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_FLUSH_SECONDS = 3.0  # that a server waits for its collector when it ends


def set_up_tracing() -> None:
    """Set up the export of traces, once per process. A reason why none can be sent is logged and ends nothing."""
    if not is_wanted(os.environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning(
            "OTEL_* asks for traces, and none are sent: they need the extra otel, which is not installed here. In a "
            "checkout of this server: pip install '.[otel]'."
        )
        return
    from airflow_mcp.server.telemetry.spans import RedactingExporter

    try:
        processor = BatchSpanProcessor(RedactingExporter(OTLPSpanExporter(), load_catalog().tools.keys()))
    except ValueError as error:
        _log.warning("A variable of OTEL_* is not right, so no traces are sent: %s.", str(error).rstrip("."))
        return
    defaults = {"service.name": "airflow-mcp", "service.version": version("airflow-mcp")}
    attributes = OTELResourceDetector().detect().attributes  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
    # The provider's own shutdown waits longer for a collector that does not answer than `flush` does.
    provider = TracerProvider(resource=Resource.create({**defaults, **attributes}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)


def is_wanted(variables: Mapping[str, str]) -> bool:
    """Tell whether the variables ask for traces by OTLP over HTTP; an exporter or protocol not supported is logged."""
    exporter = variables.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if not exporter and not any(variables.get(name) for name in _ENDPOINTS):
        return False
    if exporter not in ("", "otlp"):
        _log.warning("OTEL_TRACES_EXPORTER: %r is not known here, so no traces are sent; otlp is.", exporter[:40])
        return False
    protocol = next((variables[name] for name in _PROTOCOLS if variables.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        _log.warning("OTEL_EXPORTER_OTLP_PROTOCOL: no traces are sent by %r; http/protobuf would do.", protocol[:40])
        return False
    return True


async def flush() -> None:
    """Send the spans that are still queued, before the process ends; waits at most 3 seconds."""
    force_flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if force_flush is not None:
        thread = threading.Thread(target=force_flush, daemon=True)  # daemon: the process does not wait for it
        thread.start()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(thread.join, _FLUSH_SECONDS)
