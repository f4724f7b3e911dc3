"""The server's own log: to stderr, and without secrets."""

from __future__ import annotations

import logging
import sys

from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean


class SafeFormatter(logging.Formatter):
    """A log line as it may leave: what a library logs, such as a crash with its traceback, may quote a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback behind it, redacted and without unseen characters."""
        return redact_text(clean(super().format(record)))


def set_up_logging() -> None:
    """Warnings and worse to stderr: stdout belongs to the protocol, and the HTTP client would log every URL."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter("airflow-mcp: %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
