"""The server over Streamable HTTP: builds its ASGI application and runs it in uvicorn.

The SDK's modes follow from measurements: sessions and SSE by default, so that elicitation works with every client that
supports it; never plain JSON answers, which drop progress.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from sse_starlette.sse import AppStatus
from starlette.middleware import Middleware

from airflow_mcp.airflow.auth.caller_token import name_header
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.registry.assembly import open_instances
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.errors import SettingsError
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.server.auth.access import HttpAccess, StaticTokens, build_access
from airflow_mcp.server.auth.airflow_token_headers import AirflowTokenHeaders, map_token_headers
from airflow_mcp.server.auth.www_authenticate import ScopeChallenge
from airflow_mcp.server.http.admission import Admission, AdmissionRules
from airflow_mcp.server.http.drain import Drain
from airflow_mcp.server.http.gate import LARGEST_HEADERS, Gate, GateLimits
from airflow_mcp.server.http.health import add_health
from airflow_mcp.server.http.protocol import BoundedProtocol, count_connections, silence_uvicorn
from airflow_mcp.server.http.refusals import Refusals
from airflow_mcp.server.http.reload import Reload, SettingsReader, listen
from airflow_mcp.server.http.request_log import RequestLog
from airflow_mcp.server.http.sessions import IDLE_SECONDS
from airflow_mcp.server.http.workers import Workers, share_counters
from airflow_mcp.server.telemetry.logs import log_notice, set_up_logging
from airflow_mcp.server.telemetry.metrics import PATH as METRICS
from airflow_mcp.server.telemetry.metrics import Metrics, add_metrics
from airflow_mcp.server.telemetry.tracing import set_up_tracing
from airflow_mcp.workflows import load_workflows

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_mcp.policy.rules import Policy
    from airflow_mcp.settings.settings import Settings

_log = logging.getLogger(__name__)
_LISTENERS = 16  # idle streams for each request that may be answered at once
# That a worker may take to answer its parent, which else ends it: on a busy machine its imports take more than
# uvicorn's 5 s, and no worker would ever start.
_WORKER_SECONDS = 60
_OWN = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Application:
    """The server as one ASGI application, with its parts that may change at run time."""

    asgi: ASGIApp
    instances: Instances
    tokens: StaticTokens | None  # None where callers need no token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call; one that uvicorn cuts off at its end is logged."""
        try:
            await self.asgi(scope, receive, send)
        except asyncio.CancelledError:  # at its end uvicorn would log a traceback of each call
            log_notice("a request was cut off: it was not answered within AIRFLOW_MCP_HTTP_DRAIN seconds of the end.")

    def enforce(self, settings: Settings, policy: Policy) -> None:
        """Apply these rules and tokens from the next call on."""
        self.instances.enforce(policy)
        if self.tokens is not None:
            self.tokens.replace(settings.tokens)
        log_notice("SIGHUP: the rules and tokens were read again and are in force from the next call on.")
        if self.tokens is not None and not settings.tokens:
            log_notice("SIGHUP: no token is left in [tokens], so nobody is let in with one.")
        if self.tokens is None and settings.tokens:
            log_notice("SIGHUP: until a restart nobody needs a token, since the server was started without any.")


def require_safe(settings: Settings, access: HttpAccess | None) -> None:
    """Require authentication off loopback. Raises SettingsError when other machines could call without it."""
    if not settings.is_loopback and access is None:
        raise SettingsError(
            f"AIRFLOW_MCP_HTTP_HOST {settings.http_host} can be reached from elsewhere, and nobody need say who calls. "
            "Make a token with `airflow-mcp token new NAME` and put it into the file that AIRFLOW_MCP_CONFIG names, "
            "name an issuer there under [oauth], or listen on 127.0.0.1."
        )


def build_application(settings: Settings, server_class: type[AirflowServer] = AirflowServer) -> Application:
    """Build the application around a server of that class. Raises SettingsError and ManifestError before it serves."""
    access = build_access(settings)
    require_safe(settings, access)
    metrics = Metrics(load_catalog().tools.keys())
    instances = open_instances(settings, load_workflows, metrics)
    toolsets = parse_toolsets(settings.toolsets, instances.catalog)
    server = server_class(instances, toolsets, access, settings.shared_keys)
    add_health(server, instances, needs_airflow=settings.http_ready_needs_airflow)
    scopes = access.settings.required_scopes or () if access else None
    add_metrics(server, metrics, scopes)
    limits = read_limits(settings)
    is_single = len(settings.connections) == 1
    caller_instances = (name for name, connection in settings.connections.items() if connection.identity == "caller")
    token_headers = map_token_headers({name: name_header(name, alone=is_single) for name in caller_instances})
    mcp_application = server.streamable_http_app(
        stateless_http=settings.http_stateless,
        max_request_body_size=settings.http_max_body,
        transport_security=TransportSecuritySettings(allowed_hosts=[*limits.hosts], allowed_origins=[*limits.origins]),
        session_idle_timeout=IDLE_SECONDS,
        max_sessions=None,  # Sessions limits them, by caller
    )
    rules = AdmissionRules(
        instances.catalog.toolsets,
        tuple(instances.dispatchers),
        AirflowTokenHeaders(token_headers, access.is_ours) if access else AirflowTokenHeaders(token_headers),
        scopes,
    )
    refusals = Refusals(limits.per_minute, metrics.count_refusal)
    # The innermost middleware: it runs after the check of tokens.
    mcp_application.user_middleware.append(Middleware(Admission, limits, rules, refusals))
    protected = mcp_application if not scopes else ScopeChallenge(mcp_application, scopes)
    gate = Gate(protected, limits, refusals, exempt_paths=frozenset({METRICS}) if access else frozenset())
    return Application(Drain(RequestLog(gate, metrics.count_refusal)), instances, access.tokens if access else None)


def read_limits(settings: Settings) -> GateLimits:
    """Return the limits; loopback is accepted at any port, beside hosts in the settings, `oauth.audience` included."""
    public = (settings.oauth.host,) if settings.oauth else ()
    scheme = "https" if settings.http_tls_cert else "http"
    return GateLimits(
        hosts=(*_OWN, *(f"{name}:*" for name in _OWN), *public, *map(str.lower, settings.http_allowed_hosts)),
        origins=(
            *(f"{scheme}://{name}" for name in _OWN),
            *(f"{scheme}://{name}:*" for name in _OWN),
            *map(str.lower, settings.http_allowed_origins),
        ),
        calls=settings.http_max_calls,
        per_minute=settings.http_per_minute,
        body=settings.http_max_body,
        sessions=settings.http_max_sessions,
        listeners=max(min(settings.http_max_calls * _LISTENERS, count_connections() // 2), 1),
    )


def prepare_application(settings: Settings) -> Application:
    """Build the application of a process: with logs and traces set up, and without cutting calls off at SIGTERM."""
    set_up_logging(settings.log_format, settings.log_level)
    set_up_tracing()
    silence_uvicorn()
    AppStatus.disable_automatic_graceful_drain()  # else a call in flight in a session ends at once
    return build_application(settings)


def start_application(application: Application, settings: Settings, reader: SettingsReader) -> Application:
    """Let SIGHUP reload the application, in the event loop that serves it; return the application."""
    listen(Reload(settings, reader, application.enforce))
    return application


def make_worker(reader: SettingsReader, settings: Settings) -> Application:
    """Build the application of a worker process, in its event loop."""
    return start_application(prepare_application(settings), settings, reader)


def serve_http(settings: Settings, reader: SettingsReader) -> None:
    """Serve until SIGTERM or SIGINT; calls in flight then have `http_drain` seconds.

    SIGHUP reloads the rules and tokens. Raises SettingsError when the settings or the address cannot be used.
    """
    options: dict[str, Any] = {
        "host": settings.http_host,
        "port": settings.http_port,
        "log_level": None,  # as set up by logs.py
        "log_config": None,  # ours, which masks secrets
        "access_log": False,
        "server_header": False,
        "http": partial(BoundedProtocol, settings.http_trusted_proxies),
        "ws": "none",
        "loop": "airflow_mcp.server.http.event_loop:HandshakeBoundLoop",
        "h11_max_incomplete_event_size": LARGEST_HEADERS,
        "proxy_headers": bool(settings.http_trusted_proxies),
        "forwarded_allow_ips": [*settings.http_trusted_proxies],
        "timeout_graceful_shutdown": settings.http_drain,
        "timeout_worker_healthcheck": _WORKER_SECONDS,
        "ssl_certfile": settings.http_tls_cert or None,
        "ssl_keyfile": settings.http_tls_key or None,
        "lifespan": "on",
    }
    has_workers = settings.http_workers > 1
    if has_workers:
        build_application(settings)  # workers build their own; a settings error is raised here, before they start
        config = uvicorn.Config("", factory=True, workers=settings.http_workers, **options)
    else:
        config = uvicorn.Config(
            partial(start_application, prepare_application(settings), settings, reader), factory=True, **options
        )
    uvicorn_log = logging.getLogger("uvicorn.error")
    try:
        uvicorn_log.disabled = True  # the SettingsError below says the same
        listener = config.bind_socket()
    except SystemExit:
        address = f"{settings.http_host}:{settings.http_port}"
        raise SettingsError(
            f"AIRFLOW_MCP_HTTP_PORT: {address} cannot be listened on: is it taken, or no address of this machine's?"
        ) from None
    finally:
        uvicorn_log.disabled = False
    # asyncio sets this only on sockets that it makes; without it a small answer in two parts waits for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit it
    listener.listen(config.backlog)  # clients that connect after the announcement wait for the server
    _announce(settings, _read_port(listener))
    if has_workers:
        with share_counters() as folder:
            Workers(config, listener, partial(make_worker, reader), settings, reader, folder).run()
    else:
        uvicorn.Server(config).run(sockets=[listener])


def _read_port(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def _announce(settings: Settings, port: int) -> None:
    scheme = "https" if settings.http_tls_cert else "http"
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    token_names = ", ".join(settings.tokens)
    credentials = [f"tokens ({token_names})"] if token_names else []
    credentials += [f"access tokens of {settings.oauth.issuer}"] if settings.oauth else []
    accepted_callers = f"the bearers of {' and of '.join(credentials)}" if credentials else "whoever is on this machine"
    log_notice(f"serving {scheme}://{host}:{port}/mcp to {accepted_callers}")
    if settings.http_stateless and not settings.shared_keys:
        _log.warning("A plan is good at this replica alone: AIRFLOW_MCP_SHARED_KEY and AIRFLOW_MCP_REDIS_URL share it.")
    if not settings.is_loopback and not (settings.http_tls_cert or settings.http_trusted_proxies):
        _log.warning("Tokens come in clear here: set AIRFLOW_MCP_HTTP_TLS_CERT, or a proxy for TLS before this server.")
    if not settings.is_loopback and not (settings.http_allowed_hosts or settings.oauth):
        _log.warning(
            "Clients are let in by no name but 127.0.0.1 and localhost: AIRFLOW_MCP_HTTP_ALLOWED_HOSTS adds some."
        )
