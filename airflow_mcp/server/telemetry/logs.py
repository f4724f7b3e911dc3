"""The server's log on stderr: text for a person or JSON for a collector, without secrets and invisible characters."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from opentelemetry.trace import get_current_span

from airflow_mcp.dispatch.safety import audit
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean

if TYPE_CHECKING:
    from airflow_mcp.settings.settings import LogFormat, LogLevel

# Loggers that get the configured level. Other libraries log URLs and messages, with ids and arguments, below WARNING.
_OURS = ("airflow_mcp", "uvicorn.error")
_notices = logging.getLogger("airflow_mcp.notices")

http_request_id: ContextVar[str] = ContextVar("airflow_mcp_http_request_id", default="")
"""The id of the HTTP request in progress; empty over stdio."""


class SafeFormatter(logging.Formatter):
    """Redacts log lines: a message or traceback of any library may quote a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and its traceback, redacted and without invisible characters."""
        return redact_text(clean(super().format(record)))


class TextFormatter(SafeFormatter):
    """Formats lines for a person: `airflow-mcp: WARNING ...`, and a notice without its level."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without its traceback."""
        level = "" if record.name == _notices.name else f"{record.levelname} "
        return f"airflow-mcp: {level}{record.message}"


class JsonFormatter(logging.Formatter):
    """Formats lines for a collector: one JSON object a line, with the ids of the request and its trace."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON object, without empty fields."""
        audit_record = audit.current_record.get()
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "traceback": self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else "",
            "request_id": http_request_id.get(),
            "caller": audit_record.caller if audit_record else getattr(record, "caller", ""),
            **get_trace_ids(),
        }
        return json.dumps({name: redact_text(clean(value)) for name, value in fields.items() if value})


def get_trace_ids() -> dict[str, str]:
    """Return trace_id and span_id of the current span in hexadecimal (W3C Trace Context, 3.2.2); empty without one."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


class _Handler(logging.StreamHandler[TextIO]):
    """Writes only lines that a formatter has made safe."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; for a record whose arguments do not fit its message, a line that quotes the message."""
        try:
            return super().format(record)
        except Exception:  # noqa: BLE001 - the standard library would print the arguments as they are
            line = logging.LogRecord(record.name, record.levelno, "", 0, "cannot be told: %r", (record.msg,), None)
            return super().format(line)

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: where stderr cannot be written, an error about it cannot be either."""


def set_up_logging(form: LogFormat = "text", level: LogLevel = "WARNING") -> None:
    """Send every log record to stderr: stdout belongs to the protocol."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelNamesMapping()[level]), handlers=[handler])
    logging.captureWarnings(True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    _notices.setLevel(logging.INFO)


def log_notice(sentence: str) -> None:
    """Log a sentence that an operator waits for, whatever the level of the log."""
    _notices.info(sentence)
