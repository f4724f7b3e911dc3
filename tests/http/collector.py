"""The stand-in for a collector of traces: OTLP over HTTP, on loopback."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.http.upstream import listening


@dataclass
class Collector:
    """What was sent to it so far."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list[bytes])

    @property
    def spans(self) -> list[Span]:
        """Every span, in the order of their ends."""
        found: list[Span] = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found += scope.spans
        return sorted(found, key=lambda span: span.end_time_unix_nano)

    @property
    def services(self) -> set[str]:
        """The names of those who sent them."""
        resources = [
            one.resource for body in self.bodies for one in ExportTraceServiceRequest.FromString(body).resource_spans
        ]
        return {pair.value.string_value for one in resources for pair in one.attributes if pair.key == "service.name"}

    def named(self, name: str) -> list[Span]:
        """The spans of that name."""
        return [span for span in self.spans if span.name == name]


def attributes_of(span: Span) -> dict[str, object]:
    """What a span says of itself."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in span.attributes}


@contextmanager
def collecting() -> Generator[Collector]:
    """A collector that takes everything, for the block."""
    collector = Collector()

    async def take(request: Request) -> Response:
        collector.bodies.append(await request.body())
        return Response(media_type="application/x-protobuf")

    with listening(Starlette(routes=[Route("/v1/traces", take, methods=["POST"])])) as url:
        collector.url = url
        yield collector
