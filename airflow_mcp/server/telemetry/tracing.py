"""Traces, where OpenTelemetry's own variables ask for them; without these nothing of its SDK is imported.

The span of each message is made by MCP's SDK, that of each request to Airflow by airflow/request_span.py. The extra
`otel`
brings what exports them (OTLP over HTTP).
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
_FLUSH_SECONDS = 3.0  # that the end of a server waits for its collector


def set_up_tracing() -> None:
    """Once a process. What keeps traces that were asked for from being sent is said in the log, and ends nothing."""
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
        exporter = BatchSpanProcessor(RedactingExporter(OTLPSpanExporter(), load_catalog().tools.keys()))
    except ValueError as error:
        _log.warning("A variable of OTEL_* is not right, so no traces are sent: %s.", str(error).rstrip("."))
        return
    ours = {"service.name": "airflow-mcp", "service.version": version("airflow-mcp")}
    said = OTELResourceDetector().detect().attributes  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
    # Its own end would wait for a collector that does not answer; `flush` waits less.
    provider = TracerProvider(resource=Resource.create({**ours, **said}), shutdown_on_exit=False)
    provider.add_span_processor(exporter)
    trace.set_tracer_provider(provider)


def is_wanted(variables: Mapping[str, str]) -> bool:
    """Whether these say that traces are to be exported, in the way that is known here; what is not known is logged."""
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
    """Send what has not been sent yet, before the process ends."""
    send = getattr(trace.get_tracer_provider(), "force_flush", None)
    if send is not None:
        sending = threading.Thread(target=send, daemon=True)  # which the process does not wait for
        sending.start()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(sending.join, _FLUSH_SECONDS)
