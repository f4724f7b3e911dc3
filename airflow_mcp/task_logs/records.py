"""Read a line of a log as a record (level, time, source, message), and render a record as a line to show.

Two forms: Airflow 3 sends NDJSON, a structured record a line; Airflow 2 sends text, where a record starts with
"[time] {file:line} LEVEL - " and more lines of it may follow.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_mcp.redact import MASK, redact, redact_text
from airflow_mcp.task_logs.exception_chain import LoggedException, read_error_detail, shorten_path
from airflow_mcp.text import clean

LogForm = Literal["text", "ndjson"]  # of Airflow 2 and of Airflow 3
DEBUG, INFO, WARNING, ERROR, CRITICAL = 10, 20, 30, 40, 50
LEVELS = {
    "debug": DEBUG, "info": INFO, "warning": WARNING, "warn": WARNING, "error": ERROR, "exception": ERROR,
    "critical": CRITICAL, "fatal": CRITICAL, "severe": ERROR, "alert": CRITICAL, "emerg": CRITICAL, "panic": CRITICAL,
    "trace": DEBUG, "notice": INFO,
}  # fmt: skip
_NAMES = {DEBUG: "DEBUG", WARNING: "WARNING", ERROR: "ERROR", CRITICAL: "CRITICAL"}  # INFO is not shown
_HEADER = re.compile(r"\[(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\]]*)\] \{([^}]*)\} (\w+) - (.*)", re.DOTALL)
_SHORT_HEADER = re.compile(r"()() ?(INFO|WARNING|ERROR) - (::.*)")  # of lines about where the log was found
# Fields of 3.x that every record has, or that say where it was written: the rest is rendered behind the message.
_USUAL = frozenset((
    "timestamp", "event", "level", "logger", "filename", "lineno", "func_name", "loc", "chan", "error_detail",
    "exception", "ti_id", "ti", "task_id", "dag_id", "run_id", "dag_run_id", "map_index", "try_number",
    "context_carrier",
))  # fmt: skip
_CUT_VALUE = r'"%s":"((?:[^"\\]|\\.)*)'  # in a record that was cut and so is no longer JSON
_CUT = {name: re.compile(_CUT_VALUE % name) for name in ("timestamp", "event", "level", "logger")}
_CUT_FAILURE = {name: re.compile(_CUT_VALUE % name) for name in ("exc_type", "exc_value")}
_LOUD = ('"level":"warning"', '"level":"error"', '"level":"critical"', " WARNING - ", " ERROR - ", " CRITICAL - ")
_PRINTED_BY = ("task.stdout", "task.stderr", "logging_mixin.py", "subprocess.py")  # the task's own output
_AIRFLOW = ("task", "supervisor")  # loggers of 3.x that only Airflow itself uses. 3: supervisor.py


@dataclass(slots=True)
class LogRecord:
    """One record as Airflow wrote it, not yet safe to show. `level` is that of `logging`, `moment` is as written."""

    message: str
    level: int = INFO
    moment: str = ""
    source: str = ""  # the logger on 3.x, file:line on 2.x
    chain: list[LoggedException] = field(default_factory=list[LoggedException])  # the raised exception first
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    continues: bool = False  # a further line of the record before it

    @property
    def printed(self) -> bool:
        """Whether the task's code, or a command it ran, printed this."""
        return self.source.startswith(_PRINTED_BY)

    @property
    def official(self) -> bool:
        """Whether Airflow itself may have written this; not certain on 2.x, which only names the file."""
        return self.source in _AIRFLOW or (".py:" in self.source and not self.printed)


def read_text(line: str) -> LogRecord:
    """Return the record that starts in a line of 2.x; a line without a header continues the record before it."""
    match = _HEADER.match(line) if line[:1] == "[" else None
    if match is None and " - ::" in line[:20]:
        match = _SHORT_HEADER.match(line)
    if match is None:
        return LogRecord(line, continues=True)
    return LogRecord(match[4], LEVELS.get(match[3].lower(), INFO), match[1], match[2])


def read_json(line: str) -> LogRecord:
    """Return the record in a line of 3.x; a line that is no record is its own message."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return _read_cut(line)
    if not isinstance(row, dict):
        return LogRecord(str(row), continues=True)
    message = str(row.get("event", ""))
    if "level" not in row:  # a log of 2.x, or of a process that formats its own lines
        return read_text(message)
    level = LEVELS.get(str(row.get("level")).lower(), INFO)
    chain = read_error_detail(row.get("error_detail"))
    fields = {key: value for key, value in row.items() if key not in _USUAL}
    return LogRecord(message, level, str(row.get("timestamp") or ""), str(row.get("logger") or ""), chain, fields)


def _read_cut(line: str) -> LogRecord:
    """Return what can still be read of a record that was cut because of its length."""
    texts = {name: match[1] for name, pattern in _CUT.items() if (match := pattern.search(line))}
    if "event" not in texts:
        return LogRecord(line, continues=True)
    kind, value = (pattern.search(line) for pattern in _CUT_FAILURE.values())
    text = (
        f"{_strip_markup(kind[1])}: {_strip_markup(value[1])}"
        if kind and value
        else _strip_markup(kind[1])
        if kind
        else ""
    )
    chain = [LoggedException(text)] if text else []
    level = LEVELS.get(texts.get("level", ""), ERROR if kind else INFO)
    return LogRecord(_strip_markup(texts["event"]), level, texts.get("timestamp", ""), texts.get("logger", ""), chain)


def _strip_markup(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def is_plain(line: str) -> bool:
    """Tell whether a line of either form is no warning and no error, without parsing it."""
    return not any(mark in line for mark in _LOUD)


def render(record: LogRecord) -> str:
    """Render a record as one line, safe to show: "22:58:19 ERROR message: ValueError: bad row key=value"."""
    if record.continues:
        return make_safe(record.message).rstrip()
    label = _NAMES.get(record.level)
    parts = [record.moment[11:19], label or "", record.message.strip("\n")]
    text = " ".join(part for part in parts if part)
    if record.chain:
        text = f"{text}: {' <- '.join(exception.text for exception in record.chain)}"
        if place := record.chain[0].place:
            text = f"{text} ({shorten_path(place)})"
    if record.fields:
        text = f"{text} {_render_fields(record.fields)}"
    return make_safe(text).replace("\n", "\n  ")


def _render_fields(fields: dict[str, Any]) -> str:
    try:
        return " ".join(f"{key}={value}" for key, value in redact(fields).items() if value is not None)
    except RecursionError:  # nested deeper than any real record
        return ""


def make_safe(text: str) -> str:
    """Clean a text and mask its secrets; before it is cut or matched, since half a secret is not recognised."""
    try:
        return redact_text(clean(text))
    except RecursionError:  # JSON nested deeper than any real record
        return MASK


def parse_moment(moment: str) -> datetime | None:
    """Return the time of a record, or None for none; one without a zone is UTC, as Airflow writes them."""
    try:
        time = datetime.fromisoformat(moment.replace(",", "."))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
