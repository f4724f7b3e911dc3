"""Run the MCP server on a transport: stdio, or Streamable HTTP."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airflow_mcp.policy.rules import Policy
    from airflow_mcp.server.app import AirflowServer
    from airflow_mcp.server.reload import Reload, Reread
    from airflow_mcp.settings.read import Settings

Transport = Literal["stdio", "http"]


def serve(settings: Settings, transport: Transport, reread: Reread) -> None:
    """Serve until the client closes the pipe, or a signal ends it; at SIGHUP rules and tokens are read anew.

    Raises SettingsError before anything is served.
    """
    from airflow_mcp.errors import SettingsError
    from airflow_mcp.server.logs import set_up_logging, tell  # imports: once the settings are known to be right
    from airflow_mcp.server.reload import Reload, hold_back

    hold_back()
    set_up_logging(settings.log_format, settings.log_level)
    match transport:
        case "stdio":
            if any(one.identity != "service" for one in settings.connections.values()):
                raise SettingsError(
                    'identity = "caller" and identity = "exchange" are for callers who say who they are, over HTTP: '
                    'over stdio use identity = "service".'
                )
            _tell_a_person()
            import anyio

            from airflow_mcp.server.app import AirflowServer  # 1 s
            from airflow_mcp.server.tracing import set_up_tracing
            from airflow_mcp.tools.offer import parse_toolsets
            from airflow_mcp.tools.open import open_instances

            set_up_tracing()
            instances = open_instances(settings)

            def enforce(new: Settings, policy: Policy) -> None:
                del new  # whoever holds the pipe needs no token
                instances.enforce(policy)
                tell("SIGHUP: the rules were read again and are in force from the next call on.")

            server = AirflowServer(instances, parse_toolsets(settings.toolsets, instances.catalog))
            anyio.run(_over_stdio, server, Reload(settings, reread, enforce))
        case "http":
            from airflow_mcp.server.http import serve_http

            serve_http(settings, reread)


async def _over_stdio(server: AirflowServer, reload: Reload) -> None:
    from airflow_mcp.server.reload import listen

    listen(reload)
    await server.run_stdio_async()


def _tell_a_person() -> None:
    """Whoever starts this by hand sees a silent program; a client has a pipe, and gets no such line."""
    if sys.stdin.isatty():
        sys.stderr.write(
            "airflow-mcp: waiting for an MCP client on stdin; Ctrl-C ends it. To try it by hand: `airflow-mcp doctor` "
            "and `airflow-mcp tools`.\n"
        )
        sys.stderr.flush()
