"""Run the MCP server on a transport. stdio is here; Streamable HTTP has its place beside it."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Literal

from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean

if TYPE_CHECKING:
    from airflow_mcp.settings import Settings

Transport = Literal["stdio"]


class SafeFormatter(logging.Formatter):
    """A log line as it may leave: what a library logs, such as a crash with its traceback, may quote a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback behind it, redacted and without unseen characters."""
        return redact_text(clean(super().format(record)))


def serve(settings: Settings, transport: Transport = "stdio") -> None:
    """Serve until the client closes the pipe. Raises SettingsError before anything is served."""
    from airflow_mcp.server.app import AirflowServer  # 1 s of imports: only once the settings are known to be right
    from airflow_mcp.tools.offer import parse_toolsets
    from airflow_mcp.tools.open import open_instances

    # stdout belongs to the protocol; the HTTP client would log every URL.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter("airflow-mcp: %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    instances = open_instances(settings)
    server = AirflowServer(instances, parse_toolsets(settings.toolsets, instances.catalog))
    match transport:
        case "stdio":
            server.run("stdio")
