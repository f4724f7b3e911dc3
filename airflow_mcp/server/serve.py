"""Run the MCP server on a transport: stdio, or Streamable HTTP."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from airflow_mcp.server.logs import set_up_logging

if TYPE_CHECKING:
    from airflow_mcp.settings.read import Settings

Transport = Literal["stdio", "http"]


def serve(settings: Settings, transport: Transport = "stdio") -> None:
    """Serve until the client closes the pipe, or a signal ends it. Raises SettingsError before anything is served."""
    match transport:
        case "stdio":
            set_up_logging()
            _tell_a_person()
            from airflow_mcp.server.app import AirflowServer  # 1 s of imports: once the settings are known to be right
            from airflow_mcp.tools.offer import parse_toolsets
            from airflow_mcp.tools.open import open_instances

            instances = open_instances(settings)
            AirflowServer(instances, parse_toolsets(settings.toolsets, instances.catalog)).run("stdio")
        case "http":
            from airflow_mcp.server.http import serve_http

            serve_http(settings)


def _tell_a_person() -> None:
    """Whoever starts this by hand sees a silent program; a client has a pipe, and gets no such line."""
    if sys.stdin.isatty():
        sys.stderr.write(
            "airflow-mcp: waiting for an MCP client on stdin; Ctrl-C ends it. To try it by hand: `airflow-mcp doctor` "
            "and `airflow-mcp tools`.\n"
        )
        sys.stderr.flush()
