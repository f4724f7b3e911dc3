"""Run the MCP server on a transport: stdio, or Streamable HTTP."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from anyio import CancelScope

    from airflow_mcp.dispatch.registry.instances import Instances
    from airflow_mcp.policy.rules import Policy
    from airflow_mcp.server.app import AirflowServer
    from airflow_mcp.server.http.reload import Reload, SettingsReader
    from airflow_mcp.settings.settings import Settings

Transport = Literal["stdio", "http"]


def serve(settings: Settings, transport: Transport, reader: SettingsReader) -> None:
    """Serve until the client closes the pipe or a signal ends the process; SIGHUP reloads rules and tokens.

    Raises SettingsError when the settings do not fit the transport, before it serves.
    """
    from airflow_mcp.errors import SettingsError
    from airflow_mcp.server.http.reload import Reload, hold_back
    from airflow_mcp.server.telemetry.logs import (  # imported late: a settings error costs no time
        log_notice,
        set_up_logging,
    )

    hold_back()
    set_up_logging(settings.log_format, settings.log_level)
    match transport:
        case "stdio":
            if any(connection.identity != "service" for connection in settings.connections.values()):
                raise SettingsError(
                    'identity = "caller" and identity = "exchange" are for callers who say who they are, over HTTP: '
                    'over stdio use identity = "service".'
                )
            _greet_person()
            import anyio

            from airflow_mcp.dispatch.registry.assembly import open_instances
            from airflow_mcp.dispatch.registry.listing import parse_toolsets
            from airflow_mcp.server.app import AirflowServer  # 1 s
            from airflow_mcp.server.telemetry.tracing import set_up_tracing
            from airflow_mcp.workflows import load_workflows

            set_up_tracing()
            instances = open_instances(settings, load_workflows)

            def enforce(new: Settings, policy: Policy) -> None:
                del new  # the client at the pipe needs no token
                instances.enforce(policy)
                log_notice("SIGHUP: the rules were read again and are in force from the next call on.")

            server = AirflowServer(instances, parse_toolsets(settings.toolsets, instances.catalog))
            anyio.run(_serve_stdio, server, Reload(settings, reader, enforce), instances)
        case "http":
            from airflow_mcp.server.http.serve import serve_http

            serve_http(settings, reader)


async def _serve_stdio(server: AirflowServer, reload: Reload, instances: Instances) -> None:
    import anyio

    from airflow_mcp.server.http.reload import listen

    listen(reload)
    async with anyio.create_task_group() as group:
        serving_scope = anyio.CancelScope()
        if sys.platform != "win32":
            group.start_soon(_end_at_signal, serving_scope, instances)
        with serving_scope:
            await server.run_stdio_async()
        group.cancel_scope.cancel()


async def _end_at_signal(serving: CancelScope, instances: Instances) -> None:
    """At SIGTERM or SIGINT cancel calls, wait for changes in flight and the audit trail, and end by the signal.

    The thread that reads stdin cannot be cancelled, so the process does not wait for it.
    """
    import anyio

    from airflow_mcp.server.telemetry.tracing import flush

    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            serving.cancel()
            with anyio.CancelScope(shield=True):
                await instances.wait_until_idle()
                await flush()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _greet_person() -> None:
    """Explain the silent program to a person who started it at a terminal; a client has a pipe, and gets no line."""
    if sys.stdin.isatty():
        sys.stderr.write(
            "airflow-mcp: waiting for an MCP client on stdin; Ctrl-C ends it. To try it by hand: `airflow-mcp doctor` "
            "and `airflow-mcp tools`.\n"
        )
        sys.stderr.flush()
