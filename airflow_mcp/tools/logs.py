"""Find the decisive error and the end of a task's log while it streams by, in bounded memory.

Two forms: Airflow 3 sends NDJSON, a structured record a line, errors with `error_detail`; Airflow 2 sends text, where a
record starts with "[time] {file:line} LEVEL - " and a traceback follows in lines of its own.
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from airflow_mcp.catalog.versions import Generation
from airflow_mcp.redact import MASK, redact_text
from airflow_mcp.text import clean, shorten

_LONGEST_LINE = 64 * 1024  # bytes of one line that are looked at
_TAIL_LINES = 200
_BLOCK_LINES = 400  # lines of one text record that are kept: enough for a deep traceback
_TEXT_RECORD = re.compile(r"\[(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)[^\]]*\] \{([^}]*)\} (\w+) - (.*)", re.S)
_FRAME = re.compile(r'\s*File "(.+)", line (\d+), in (.+)')
_CHAINED = ("direct cause of the following exception", "another exception occurred")
_LIBRARY = ("/site-packages/", "/dist-packages/", "/lib/python3", "<frozen ")
_SAID_BY_AIRFLOW = ("Task failed with exception", "Failed to execute job")  # above every failure: tells nothing
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_KEY_ENDS = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
_ERROR_MARKS = (b'"error"', b'"critical"', b"error_detail")


@dataclass
class Failure:
    """One exception of a chain: "Type: message" and its frames, outermost first, as "file:line in function"."""

    what: str
    frames: list[str] = field(default_factory=list)


@dataclass
class Error:
    """An error record: what was logged, the exceptions (the raised one first, then its causes), and its line."""

    message: str
    line: int
    chain: list[Failure] = field(default_factory=list)

    def render(self, size: int) -> str:
        """The exception first, its innermost frames (the DAG's own before libraries'), then its causes."""
        message = _safe(self.message)
        if not self.chain:
            return shorten(message, size)
        first, *causes = self.chain
        parts = [shorten(_safe(first.what), max(size // 2, 80)), *_frames(first, 4)]
        for cause in causes[:3]:
            parts += [f"caused by {shorten(_safe(cause.what), 200)}", *_frames(cause, 1)]
        if message and self.message not in first.what and not message.startswith(_SAID_BY_AIRFLOW):
            parts.append(f"logged as: {shorten(message, 120)}")
        return shorten("\n".join(parts), size)


class LogScan:
    """Feed it the log's bytes; afterwards it knows the error, the tail and the number of lines."""

    def __init__(self, generation: Generation) -> None:
        self.lines = 0
        self.size = 0  # bytes
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._raised: Error | None = None  # the last error record with a traceback
        self._logged: Error | None = None  # the last error record at all
        self._pending = b""
        self._block: list[str] = []
        self._block_line = 0
        self._structured = generation == "v2"
        self._in_key = False

    @property
    def error(self) -> Error | None:
        """The last error with a traceback, wherever it stands, else the last line logged as an error."""
        return self._raised or self._logged

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        self.size += len(piece)
        *whole, rest = (self._pending + piece).split(b"\n")
        self._pending = rest[:_LONGEST_LINE] if len(rest) > _LONGEST_LINE else rest
        for line in whole:
            self._take(line[:_LONGEST_LINE])

    def finish(self) -> None:
        """The log has ended."""
        if self._pending:
            self._take(self._pending)
            self._pending = b""
        self._close_block()

    def end(self, size: int, line_size: int = 240) -> list[str]:
        """The last lines, oldest first, that fit in `size` characters."""
        lines: list[str] = []
        for raw in reversed(self.tail):
            line = shorten(_safe(_render_row(raw) if self._structured else _render_text(raw)), line_size)
            size -= len(line) + 2
            if size < 0:
                break
            lines.append(line)
        return lines[::-1]

    def _take(self, line: bytes) -> None:
        self.lines += 1
        text = line.decode("utf-8", "replace").rstrip("\r")
        if self._in_key or _KEY_BEGINS.search(text):  # a private key stands on many lines; none may be shown
            self._in_key = not _KEY_ENDS.search(text)
            text = MASK
        if self._structured:
            if any(mark in line for mark in _ERROR_MARKS):
                self._take_row(text)
            if text:
                self.tail.append(text)
            return
        starts = text[:1] == "[" and _TEXT_RECORD.match(text) is not None
        if starts or (text[:1] == " " and " - ::" in text[:20]):
            self._close_block()
            self._block, self._block_line = [text], self.lines
            self.tail.append(text)
        elif self._block and len(self._block) < _BLOCK_LINES:
            self._block.append(text)
        elif text and not self._block:
            self.tail.append(text)

    def _take_row(self, text: str) -> None:
        row = _parse(text)
        if "level" not in row and len(text) >= _LONGEST_LINE // 2:  # cut, so no longer JSON: an error all the same
            self._logged = self._raised = Error(text, self.lines)
            return
        if str(row.get("level")).lower() not in ("error", "critical"):
            return
        chain = [_failure(item) for item in row.get("error_detail") or [] if isinstance(item, dict)]
        error = Error(str(row.get("event", "")), self.lines, chain)
        self._logged = error
        if chain:
            self._raised = error

    def _close_block(self) -> None:
        if not self._block:
            return
        match = _TEXT_RECORD.match(self._block[0])
        if match and match[3] in ("ERROR", "CRITICAL"):
            error = Error(match[4], self._block_line, _traceback(self._block[1:]))
            self._logged = error
            if error.chain:
                self._raised = error
        self._block = []


def _safe(text: str) -> str:
    """Before anything is cut: a secret that lost its end is no longer known as one."""
    return redact_text(clean(text))


def _parse(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError:
        return {"event": text}
    return row if isinstance(row, dict) else {"event": str(row)}


def _render_row(text: str) -> str:
    row = _parse(text)
    level = str(row.get("level") or "info").lower()
    moment = str(row.get("timestamp") or "")[11:19]
    label = "" if level == "info" else f"{level.upper()} "
    return f"{moment} {label}{row.get('event', '')}".strip()


def _render_text(text: str) -> str:
    match = _TEXT_RECORD.match(text)
    if match is None:
        return text.strip()
    label = "" if match[3] == "INFO" else f"{match[3]} "
    return f"{match[1][11:]} {label}{match[4]}"


def _failure(detail: dict[str, Any]) -> Failure:
    frames = [f"{f.get('filename')}:{f.get('lineno')} in {f.get('name')}" for f in detail.get("frames") or []]
    kind, value = detail.get("exc_type", "Exception"), str(detail.get("exc_value", ""))
    return Failure(f"{kind}: {value}" if value else str(kind), frames)


def _traceback(lines: list[str]) -> list[Failure]:
    """The exceptions of a printed traceback, the raised one (which stands last) first."""
    chain: list[Failure] = []
    current: Failure | None = None
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            current = Failure("")
            chain.append(current)
        elif current is None or any(mark in line for mark in _CHAINED):
            current = None if chain and any(mark in line for mark in _CHAINED) else current
        elif frame := _FRAME.match(line):
            if current.what:  # a frame after the exception belongs to a group or a note
                continue
            current.frames.append(f"{frame[1]}:{frame[2]} in {frame[3]}")
        elif line[:1] not in ("", " "):
            current.what = f"{current.what}\n{line}" if current.what else line
        elif current.what and line.strip():
            current.what += f"\n{line}"
    return [failure for failure in reversed(chain) if failure.what]


def _frames(failure: Failure, most: int) -> list[str]:
    own = [frame for frame in failure.frames if not any(part in frame for part in _LIBRARY)]
    chosen = (own or failure.frames)[-most:]
    return [f"  at {shorten(frame, 160, keep_end=True)}" for frame in reversed(chosen)]
