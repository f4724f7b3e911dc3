"""Metrics for Prometheus at /metrics: calls, requests to Airflow, and HTTP requests refused before they are a call.

Labels are names from the catalog or the operator's settings, never an id, an argument or a caller.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import JSONResponse, Response

from airflow_mcp.errors import (
    AirflowError,
    AirflowUnreachableError,
    ForbiddenError,
    LoginError,
    NotAllowedError,
    NotFoundError,
)
from airflow_mcp.observer import Observer
from airflow_mcp.server.elicitation import QuestionPending

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from starlette.requests import Request

_log = logging.getLogger(__name__)
PATH = "/metrics"
_CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)  # a tool that waits may take minutes
_REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_KINDS: dict[type[Exception], str] = {  # the first class that matches counts
    AirflowUnreachableError: "unreachable",
    LoginError: "login",
    ForbiddenError: "forbidden",
    NotFoundError: "not_found",
    AirflowError: "failed",
}


class Metrics(Observer):
    """Counts of this process; where PROMETHEUS_MULTIPROC_DIR names a folder, one part of those of several processes."""

    def __init__(self, tools: Collection[str]) -> None:
        """Create the metrics; `tools` are the names that may become labels."""
        disable_created_metrics()  # they double the series, and metrics of several processes have none
        self.registry = CollectorRegistry()
        self._folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
        self._tools = tools
        self._told = False
        options: dict[str, Any] = {"registry": self.registry, "namespace": "airflow_mcp"}
        self._calls = Counter("calls", "Calls of tools that are over", ["tool", "class", "outcome"], **options)
        self._call_seconds = Histogram(
            "call_seconds", "How long they took, confirmation included", ["tool"], buckets=_CALL_SECONDS, **options
        )
        self._in_flight = Gauge(
            "calls_in_flight", "Calls of tools that are not over yet", multiprocess_mode="livesum", **options
        )
        self._requests = Histogram(
            "airflow_request_seconds",
            "Requests to Airflow, each attempt, up to the last byte of the answer (of a log: the first)",
            ["airflow", "status"],
            buckets=_REQUEST_SECONDS,
            **options,
        )
        self._errors = Counter("airflow_errors", "Calls that failed because of Airflow", ["airflow", "kind"], **options)
        self._relogins = Counter(
            "airflow_relogins", "Times that Airflow refused a login and another was asked for", ["airflow"], **options
        )
        self._refused = Counter(
            "requests_refused", "HTTP requests that were turned away before they were a call", ["reason"], **options
        )

    def call_began(self) -> None:
        """See Observer."""
        with self._ignore_errors():
            self._in_flight.inc()

    def call_ended(self, tool: str, access: str, instance: str, seconds: float, error: BaseException | None) -> None:
        """See Observer."""
        tool_label = tool if tool in self._tools else "unknown"
        error_kind = next((word for kind, word in _KINDS.items() if isinstance(error, kind)), "")
        with self._ignore_errors():
            self._in_flight.dec()
            self._calls.labels(tool_label, access or "unknown", name_outcome(error)).inc()
            self._call_seconds.labels(tool_label).observe(seconds)
            if error_kind:
                self._errors.labels(instance, error_kind).inc()

    def request_ended(self, instance: str, status: int | None, seconds: float) -> None:
        """See Observer."""
        with self._ignore_errors():
            self._requests.labels(instance, f"{status // 100}xx" if status else "none").observe(seconds)

    def login_renewed(self, instance: str) -> None:
        """See Observer."""
        with self._ignore_errors():
            self._relogins.labels(instance).inc()

    def count_refusal(self, reason: str) -> None:
        """Count a refused HTTP request; `reason` is one of a few fixed words."""
        with self._ignore_errors():
            self._refused.labels(reason).inc()

    @contextmanager
    def _ignore_errors(self) -> Generator[None]:
        """Log the first error in the block and go on: a lost count must cost no caller an answer.

        Counts are lost when the folder of several processes has gone.
        """
        try:
            yield
        except (OSError, ValueError) as error:
            if not self._told:
                _log.error("the metrics are no longer right: %s", error)
            self._told = True

    def scrape(self) -> bytes:
        """Return all metrics in Prometheus's text format, version 0.0.4."""
        registry = self.registry
        if self._folder:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._folder)
        return generate_latest(registry)


def name_outcome(error: BaseException | None) -> str:
    """Return the outcome of a call as one word."""
    match error:
        case None:
            return "ok"
        case NotAllowedError():
            return "refused"
        case QuestionPending():  # the call comes again, with the answer
            return "asked"
        case Exception():
            return "error"
        case _:
            return "cancelled"


def add_metrics(server: MCPServer[Any], metrics: Metrics, scopes: Collection[str] | None) -> None:
    """Register /metrics at the server for bearers of a token with these scopes; for everyone where `scopes` is None."""

    @server.custom_route(PATH, methods=["GET"])
    async def answer(request: Request) -> Response:
        if scopes is not None:
            user = request.scope.get("user")
            if not isinstance(user, AuthenticatedUser):
                return _build_refusal(401, "invalid_token", "Metrics are for callers with a token here.")
            if not set(scopes) <= set(user.scopes):
                return _build_refusal(403, "insufficient_scope", "Metrics need the scopes that calls need.")
        return Response(metrics.scrape(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _build_refusal(status: int, error: str, sentence: str) -> JSONResponse:
    """Return a refusal with its challenge (RFC 6750, 3)."""
    return JSONResponse({"error": sentence}, status, {"WWW-Authenticate": f'Bearer error="{error}"'})
