"""Audit trail: a JSON line per call (two for a change) with its caller, decision, rule and outcome."""

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
    """What is known about one call while it runs."""

    tool: str
    access: str
    caller: str
    instance: str
    # As they may be shown (dispatch/safety/masked_arguments.py).
    arguments: Json = field(default_factory=dict[str, Any])
    request_id: str = ""
    through: str = ""  # the forwarding tool that ran this one
    http_request_id: str = ""
    trace_id: str = ""
    effects: tuple[str, ...] = ()  # of a change: its operations, by the tools that do only these
    rule: str = ""
    decision: str = "refused"  # refused | previewed | asked | allowed
    targets: tuple[str, ...] = ()  # of a change: its targets, or before they are looked up, what the call names
    affected: int | None = 0  # number of targets; None while they are not counted
    plan: str = ""
    status: int | None = None  # HTTP status of the operation itself; of a workflow, the highest of its changes
    outcome: str = ""  # of a change whose answer could not be used: the result of reading back
    error: str = ""
    id: str = ""  # of a change that began: its two lines have it, and no other line
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, caller: Caller, tool: Tool | None, instance: str, name: str = "") -> AuditRecord:
        """Return the record of a call that begins now; of an unknown tool, under the name that was called.

        Its arguments are added once they are masked, and never before.
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
    """Writer of audit records to a file, to stderr ("-"), or nowhere ("")."""

    def __init__(self, path: str = "") -> None:
        """Open the file for appending, and end the changes that a killed process left open there.

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
        """Open the file by its name again, after log rotation gave that name to a new file.

        Where that fails, the old file stays in use and the log says so.
        """
        if not isinstance(self._file, AuditFile):
            return
        old_file = self._file
        try:
            self._file = AuditFile(self._path)
        except OSError as error:
            _log.error("the audit file %s cannot be opened again, so the old one is kept: %s", self._path, error)
        else:
            self._report_closed(old_file)

    def announce(self, record: AuditRecord) -> None:
        """Write that a change is about to be made.

        Raises NotAllowedError when it cannot be written: the change is not made then.
        """
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
        """Write the outcome of a call. A change was announced before; a failure here is reported in the log."""
        if self._file is None:
            return
        try:
            self._write(record, "ends")
        except (OSError, ValueError) as error:
            self._log_error(error)

    def close_file(self) -> None:
        """Close the file; nothing is written afterwards. Lines that could not be written are reported in the log."""
        if isinstance(self._file, AuditFile):
            self._report_closed(self._file)

    def _end_open_changes(self, file: AuditFile) -> None:
        try:
            change_count = file.end_open_changes()
        except OSError as error:
            self._log_error(error)
            return
        if change_count:
            _log.warning(
                "the audit file %s had %d changes without an end: their outcome is unknown", self._path, change_count
            )

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
            "targets": [show_id(target) for target in record.targets[:_MOST_TARGETS]],
            "affected": record.affected,
            "plan": record.plan,
            "status": record.status,
            "outcome": record.outcome,
            "error": record.error,
            "seconds": round(time.monotonic() - record.started, 3),
        }
        filled_fields = {key: value for key, value in line.items() if value not in ("", None, [])}
        if isinstance(self._file, AuditFile):
            self._file.append(filled_fields)
            return
        self._file.write(json.dumps(filled_fields, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()
