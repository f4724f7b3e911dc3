"""The server over Streamable HTTP: one ASGI application for uvicorn, and how it is run.

The SDK's modes are taken as measured: sessions and SSE by default, so that every client that can ask a human can; never
plain JSON answers, which drop progress.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from sse_starlette.sse import AppStatus
from uvicorn.supervisors import Multiprocess

from airflow_mcp.airflow.identities.caller import header_of
from airflow_mcp.errors import SettingsError
from airflow_mcp.server.access import access_of
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.server.challenge import ScopeChallenge
from airflow_mcp.server.gate import Gate, Limits
from airflow_mcp.server.health import add_health
from airflow_mcp.server.logs import set_up_logging
from airflow_mcp.server.own_tokens import taken_headers
from airflow_mcp.tools.offer import parse_toolsets
from airflow_mcp.tools.open import open_instances

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from airflow_mcp.settings.read import Settings

_LARGEST_HEADERS = 32 * 1024  # bytes
_WORKER = "airflow_mcp.worker:create_app"  # a name, since this room reads no settings
_OWN = ("127.0.0.1", "localhost", "[::1]")


def require_safe(settings: Settings) -> None:
    """Raises SettingsError for an address that others can reach while nobody has to say who they are."""
    if not settings.is_loopback and access_of(settings) is None:
        raise SettingsError(
            f"AIRFLOW_MCP_HTTP_HOST {settings.http_host} can be reached from elsewhere, and nobody need say who calls. "
            "Make a token with `airflow-mcp token new NAME` and put it into the file that AIRFLOW_MCP_CONFIG names, "
            "name an issuer there under [oauth], or listen on 127.0.0.1."
        )


def build(settings: Settings, server_class: type[AirflowServer] = AirflowServer) -> ASGIApp:
    """The application around a server of that class. Raises SettingsError and ManifestError before it serves."""
    require_safe(settings)
    instances = open_instances(settings)
    toolsets = parse_toolsets(settings.toolsets, instances.catalog)
    server = server_class(instances, toolsets, access_of(settings), settings.shared_keys)
    add_health(server, instances)
    limits = limits_of(settings)
    alone = len(settings.connections) == 1
    callers = (name for name, one in settings.connections.items() if one.identity == "caller")
    own_tokens = taken_headers({name: header_of(name, alone=alone) for name in callers})
    inner = server.streamable_http_app(
        stateless_http=settings.http_stateless,
        max_request_body_size=settings.http_max_body,
        transport_security=TransportSecuritySettings(allowed_hosts=[*limits.hosts], allowed_origins=[*limits.origins]),
    )
    if settings.oauth and settings.oauth.required_scopes:
        inner = ScopeChallenge(inner, settings.oauth.required_scopes)
    return Gate(inner, limits, instances.catalog.toolsets, tuple(instances.doors), own_tokens)


def limits_of(settings: Settings) -> Limits:
    """Loopback by any port is always accepted; beside it what the operator names, as in `oauth.audience`."""
    public = (settings.oauth.host,) if settings.oauth else ()
    scheme = "https" if settings.http_tls_cert else "http"
    return Limits(
        hosts=(*_OWN, *(f"{name}:*" for name in _OWN), *public, *settings.http_allowed_hosts),
        origins=(
            *(f"{scheme}://{name}" for name in _OWN),
            *(f"{scheme}://{name}:*" for name in _OWN),
            *settings.http_allowed_origins,
        ),
        calls=settings.http_max_calls,
        per_minute=settings.http_per_minute,
    )


def prepare(settings: Settings) -> ASGIApp:
    """The application as a process serves it: logging set up, and nothing cut off at SIGTERM."""
    set_up_logging()
    AppStatus.disable_automatic_graceful_drain()  # else a session's call in flight ends at once
    return build(settings)


def serve_http(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; calls in flight then have `http_drain` seconds. Raises SettingsError."""
    require_safe(settings)
    options: dict[str, Any] = {
        "host": settings.http_host,
        "port": settings.http_port,
        "log_level": "warning",
        "log_config": None,  # ours, which masks secrets
        "access_log": False,
        "server_header": False,
        "http": "h11",
        "ws": "none",
        "h11_max_incomplete_event_size": _LARGEST_HEADERS,
        "proxy_headers": bool(settings.http_trusted_proxies),
        "forwarded_allow_ips": [*settings.http_trusted_proxies],
        "timeout_graceful_shutdown": settings.http_drain,
        "ssl_certfile": settings.http_tls_cert or None,
        "ssl_keyfile": settings.http_tls_key or None,
        "lifespan": "on",
    }
    application = prepare(settings)  # worker processes make their own: here it shows that they can
    several = settings.http_workers > 1
    if several:
        options |= {"factory": True, "workers": settings.http_workers}
    config = uvicorn.Config(_WORKER if several else application, **options)
    try:
        listening = config.bind_socket()
    except SystemExit:
        raise SettingsError(
            f"AIRFLOW_MCP_HTTP_PORT: {settings.http_host}:{settings.http_port} cannot be listened on; is it taken?"
        ) from None
    # asyncio sets this on sockets of its own making alone; without it a small answer in two parts waits for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits it
    listening.listen(config.backlog)  # who comes between the next line and the first answer waits
    _announce(settings, _port_of(listening))
    if several:
        Multiprocess(config, sockets=[listening]).run()
    else:
        uvicorn.Server(config).run(sockets=[listening])


def _port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def _announce(settings: Settings, port: int) -> None:
    scheme = "https" if settings.http_tls_cert else "http"
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    bearers = ", ".join(settings.tokens)
    kinds = [f"tokens ({bearers})"] if bearers else []
    kinds += [f"access tokens of {settings.oauth.issuer}"] if settings.oauth else []
    who = f"the bearers of {' and of '.join(kinds)}" if kinds else "whoever is on this machine"
    sys.stderr.write(f"airflow-mcp: serving {scheme}://{host}:{port}/mcp to {who}\n")
    sys.stderr.flush()
