"""Read the level and the text of a program's own structured lines: JSON of the usual loggers, and logfmt.

Loggers: structlog, python-json-logger, loguru, pino, bunyan, winston, zap, logrus, slog, log4j 2, logback, dbt.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

from airflow_mcp.task_logs.generic_errors import is_generic
from airflow_mcp.task_logs.records import CRITICAL, DEBUG, ERROR, INFO, LEVELS, WARNING

Fields: TypeAlias = dict[str, Any]
_LEVELS = ("level", "severity", "lvl", "levelname", "log.level", "loglevel")
_MESSAGES = ("msg", "message", "event", "text", "log", "textpayload")
_ERRORS = (
    "error", "err", "exception", "exc_info", "thrown", "cause", "error_message", "error.message", "reason",
    "stack_trace", "stack", "stacktrace", "error.stack_trace",
)  # fmt: skip
_RECORDS = ("log", "info", "record", "jsonpayload", "fields")  # in which some loggers put the record itself
_NUMBERS = ((60, CRITICAL), (50, ERROR), (40, WARNING), (30, INFO), (0, DEBUG))  # pino's and bunyan's levels
_LOGFMT = re.compile(r'(?:^|\s)(level|lvl|msg|message|err|error)=("(?:[^"\\]|\\.)*"|\S+)')
_DEEPEST = 12  # causes of a cause


def read_structured(text: str) -> tuple[str, int] | None:
    """Return a structured line's text, its exceptions behind its message, and its level; None for another line."""
    if text[:1] == "{":
        return _from_json(text)
    return _from_logfmt(text) if "level=" in text or "lvl=" in text else None


def _from_json(text: str) -> tuple[str, int] | None:
    try:
        row: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    for fields in _records(row):
        level = next((_level(fields[name]) for name in _LEVELS if name in fields), None)
        messages = [text for name in _MESSAGES if (text := _text(fields.get(name)))]
        errors = [text for name in _ERRORS for text in _errors(fields.get(name))]
        if level is not None and (messages or errors):
            return _joined(messages, errors), level
    return None


def _records(row: Fields) -> list[Fields]:
    """Return the row, and the rows in it that may be the record, their names in lower case."""
    fields = {str(name).lower(): value for name, value in row.items()}
    nested_rows = [fields[name] for name in _RECORDS if isinstance(fields.get(name), dict)]
    return [
        {str(name).lower(): value for name, value in nested.items()} | _beside(fields) for nested in nested_rows
    ] + [fields]


def _beside(fields: Fields) -> Fields:
    return {name: fields[name] for name in _LEVELS if name in fields}


def _level(value: Any) -> int | None:
    if isinstance(value, dict):  # loguru
        value = value.get("name")
    if isinstance(value, int) and not isinstance(value, bool):
        return next((level for number, level in _NUMBERS if value >= number), INFO)
    return LEVELS.get(str(value).lower(), INFO) if value else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _errors(value: Any, depth: int = 0) -> list[str]:
    """Return the texts of an error that is a text, or an object with causes."""
    if isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, dict) or depth > _DEEPEST:
        return []
    kind = next((text for name in ("name", "type", "class") if (text := _text(value.get(name)))), "")
    message = next((text for name in ("message", "msg", "value") if (text := _text(value.get(name)))), "")
    titles = [f"{kind.rpartition('.')[2]}: {message}" if kind and message else message or kind]
    return [
        *filter(None, titles),
        *(text for name in ("cause", "inner") for text in _errors(value.get(name), depth + 1)),
    ]


def _joined(said: list[str], errors: list[str]) -> str:
    """Join the texts that say something new; a trace stands on lines of its own."""
    texts: list[str] = []
    for text in [*said, *errors]:
        text = text.strip("\n")
        if not any(text in earlier or earlier == text.partition("\n")[0] for earlier in texts):
            texts.append(text)
    traces = [text for text in texts if "\n" in text.strip()]
    line = ": ".join(text for text in texts if text not in traces)
    if traces and is_generic(line):
        line = ""
    return "\n".join(filter(None, [line, *traces]))


def _from_logfmt(text: str) -> tuple[str, int] | None:
    fields = {match[1]: match[2].strip('"') for match in _LOGFMT.finditer(text)}
    level = _level(fields.get("level") or fields.get("lvl"))
    messages = [fields[name] for name in ("msg", "message", "err", "error") if name in fields]
    return (": ".join(messages), level) if level is not None and messages else None
