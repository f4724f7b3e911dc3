"""One JSON line per call: who asked for what, what was decided by which rule, and what came of it."""

from __future__ import annotations

import json
import logging
import secrets
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.safety.audit_file import AuditFile, describe_process
from airflow_mcp.errors import NotAllowedError, SettingsError
from airflow_mcp.value_excerpt import show_id

if TYPE_CHECKING:
    from airflow_mcp.catalog.loader import Tool
    from airflow_mcp.dispatch.caller import Caller

_log = logging.getLogger(__name__)


@dataclass
class AuditRecord:
    """What is known of one call while it runs."""

    tool: str
    access: str
    caller: str
    instance: str
    arguments: Json = field(
        default_factory=dict[str, Any]
    )  # as they may be shown (dispatch/safety/masked_arguments.py)
    request_id: str = ""
    through: str = ""  # the tool that ran this one
    http_request_id: str = ""
    trace_id: str = ""
    effects: tuple[str, ...] = ()  # of a change: the operations that it is, by the tools that do only that
    rule: str = ""
    decision: str = "refused"  # refused | previewed | asked | allowed
    targets: tuple[str, ...] = ()  # of a change: what was worked out, or before that what the call names
    affected: int | None = 0  # how many those are; None while that is not counted
    plan: str = ""
    status: int | None = None  # the HTTP status that the operation itself got; of a workflow, its changes' highest
    outcome: str = ""  # of a change whose answer could not be used: what reading back showed
    error: str = ""
    id: str = ""  # of a change that was begun: its two lines have it, and no other line
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, caller: Caller, tool: Tool | None, instance: str, name: str = "") -> AuditRecord:
        """The entry of a call that begins now; of an unknown tool, by the name that was called.

        Its arguments follow once they are masked, and never before.
        """
        through = caller.forwarder
        return cls(
            tool.name if tool else name,
            tool.entry.access if tool else "",
            caller.name,
            instance,
            request_id=caller.request_id,
            through=through.name if through and through != tool else "",
            http_request_id=caller.http_request_id,
            trace_id=caller.trace_id,
        )


current_record: ContextVar[AuditRecord | None] = ContextVar("airflow_mcp_audit_entry", default=None)
_MOST_TARGETS = 100


class AuditTrail:
    """Writes entries to a file, to stderr ("-"), or nowhere ("")."""

    def __init__(self, path: str = "") -> None:
        """Open the file for appending, and end what a process that was killed left open there.

        Raises SettingsError when the file cannot be opened.
        """
        self._path = path
        self._file: TextIO | AuditFile | None = None
        if path == "-":
            self._file = sys.stderr
        elif path:
            try:
                self._file = AuditFile(path)
            except OSError as error:
                raise SettingsError(f"AIRFLOW_MCP_AUDIT: {path} cannot be written: {error.strerror}.") from None
            self._end_open_changes(self._file)

    def reopen(self) -> None:
        """Open the file by its name again, which whoever rotates logs has given to a new one.

        Where that fails the old one is written on, and the log says so.
        """
        if not isinstance(self._file, AuditFile):
            return
        old = self._file
        try:
            self._file = AuditFile(self._path)
        except OSError as error:
            _log.error("the audit file %s cannot be opened again, so the old one is kept: %s", self._path, error)
        else:
            self._report_closed(old)

    def announce(self, record: AuditRecord) -> None:
        """Write that a change is about to be made. Raises NotAllowedError when it cannot be: then it is not made."""
        if self._file is None:
            return
        record.id = secrets.token_hex(8)
        try:
            self._write(record, "begins")
        except (OSError, ValueError):
            record.id = ""
            raise NotAllowedError(
                f"Nothing was done: the audit file {self._path} cannot be written, and changes need it. Tell the "
                "operator of this server."
            ) from None

    def close(self, record: AuditRecord) -> None:
        """Write what came of a call. A change was announced before; a failure here is told in the log."""
        if self._file is None:
            return
        try:
            self._write(record, "ends")
        except (OSError, ValueError) as error:
            self._log_error(error)

    def close_file(self) -> None:
        """Close the file; nothing is written afterwards. What could not be written before is told in the log."""
        if isinstance(self._file, AuditFile):
            self._report_closed(self._file)

    def _end_open_changes(self, file: AuditFile) -> None:
        try:
            ended = file.end_open_changes()
        except OSError as error:
            self._log_error(error)
            return
        if ended:
            _log.warning("the audit file %s had %d changes without an end: their outcome is unknown", self._path, ended)

    def _report_closed(self, file: AuditFile) -> None:
        try:
            file.close()
        except OSError as error:
            self._log_error(error)

    def _log_error(self, error: Exception) -> None:
        _log.error("the audit file %s cannot be written: %s", self._path, error)

    def _write(self, record: AuditRecord, phase: str) -> None:
        assert self._file is not None
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "phase": phase,
            "id": record.id,
            "process": describe_process() if record.id else None,
            "request_id": record.request_id,
            "http_request_id": record.http_request_id,
            "trace_id": record.trace_id,
            "caller": record.caller,
            "instance": record.instance,
            "tool": record.tool,
            "through": record.through,
            "class": record.access,
            "effects": list(record.effects),
            "arguments": record.arguments,
            "decision": record.decision,
            "rule": record.rule,
            "targets": [show_id(one) for one in record.targets[:_MOST_TARGETS]],
            "affected": record.affected,
            "plan": record.plan,
            "status": record.status,
            "outcome": record.outcome,
            "error": record.error,
            "seconds": round(time.monotonic() - record.started, 3),
        }
        kept = {key: value for key, value in line.items() if value not in ("", None, [])}
        if isinstance(self._file, AuditFile):
            self._file.append(kept)
            return
        self._file.write(json.dumps(kept, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()
