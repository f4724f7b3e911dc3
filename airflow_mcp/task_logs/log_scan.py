"""Scan a log while it streams by; at its end, return its failure, its last lines or the requested window."""

from __future__ import annotations

import re

from airflow_mcp.task_logs.error_scanner import ErrorScanner, may_matter
from airflow_mcp.task_logs.failure_text import FailureVerdict, judge_failure
from airflow_mcp.task_logs.lines import LineReader
from airflow_mcp.task_logs.log_tail import LEAST, RAW_LINES, LogLines, LogTail, fit_items
from airflow_mcp.task_logs.log_window import LogWindow, WindowRequest
from airflow_mcp.task_logs.python_traceback import TRACEBACK
from airflow_mcp.task_logs.records import LogForm, LogRecord, is_plain, read_json, read_text, render
from airflow_mcp.task_logs.repeated_lines import LINE_SIZE, OWN_LINE, TRACE, Item, normalize_line

_AROUND = 6  # runs of lines kept from before an error
# What Airflow says before the task's own code runs. 2: taskinstance.py, file_task_handler.py; 3: task_runner.py
_OWN_BEGINS = ("::group::Log message source details", "::group::Pre task execution logs", "::group::Pre Execute")
_HOST = re.compile(r"[\w.:-]+")  # alone on the first line of 2.x: where the log comes from
_OWN_LINES = 80  # from a log's start, among which these may stand
_FORM_KNOWN = 300  # lines after which a log without a header is taken to have none
_NOT_PLAIN = ("Could not", "!!!!", "rror")  # marks a line of Airflow's own that is worth showing


# Writers of a task's printed lines, and Airflow's own words around a command. 2: logging_mixin.py, subprocess.py;
# 3: supervisor.py, hooks/subprocess.py
_PRINTED = (
    '"logger":"task.stdout"',
    '"logger":"task.stderr"',
    '.SubprocessHook"',
    "{logging_mixin.py:",
    "{subprocess.py:",
)
_COMMANDS = ("Tmp dir root location", "Running command: ", "Command exited with return code", "Output:")


class _BaseScan:
    """The common part of both scans: turns bytes into numbered lines, and lines into records."""

    def __init__(self, form: LogForm) -> None:
        self.lines = 0
        self._lines = LineReader()
        self._structured = form == "ndjson"

    @property
    def size(self) -> int:
        """Bytes read."""
        return self._lines.size

    def feed(self, piece: bytes) -> None:
        """Read the next bytes."""
        for line in self._lines.feed(piece):
            self.lines += 1
            self._take(line)

    def finish(self) -> None:
        """Read the last line, since the log has ended."""
        for line in self._lines.finish():
            self.lines += 1
            self._take(line)

    def _take(self, line: str) -> None:
        raise NotImplementedError

    def _read(self, line: str) -> LogRecord:
        return read_json(line) if self._structured else read_text(line)


class LogScan(_BaseScan):
    """Scans a log, fed as bytes, for `verdict`, which explains its failure, and `render_end`, its last lines."""

    def __init__(self, form: LogForm, budget: int) -> None:
        """Create a scan; `budget` is the most characters that `render_end` will be asked for."""
        super().__init__(form)
        self.printed = 0  # lines that the task's own code, or a command it ran, printed
        self._tail = LogTail(budget * RAW_LINES, LEAST)
        self._in_trace = False  # within a traceback behind a record, which the error contains
        self._in_own = False
        self._verdict: FailureVerdict | None = None
        self.scanner = ErrorScanner(lambda: self._tail.get_latest(_AROUND, without=OWN_LINE))

    def finish(self) -> None:
        """Read the last line and close the last record, since the log has ended."""
        super().finish()
        self.scanner.close()

    @property
    def verdict(self) -> FailureVerdict:
        """The verdict on a failed try; available once the log has ended."""
        if self._verdict is None:
            self._verdict = judge_failure(self.scanner, self._read)
        return self._verdict

    def render_end(self, budget: int, *, include_own: bool = True) -> LogLines:
        """Return the last lines that fit into `budget` characters of JSON.

        Tracebacks and Airflow's own lines are only counted; without `include_own`, Airflow's own are left out.
        """
        items = (item for item in reversed(self._tail.items) if include_own or item.key != OWN_LINE)
        return fit_items(items, budget, self.show)

    def show(self, item: Item, line_size: int = LINE_SIZE) -> list[str]:
        """Render an item of this log as lines that are safe to show."""
        return item.show(self._render, line_size)

    def _take(self, line: str) -> None:
        if self._in_trace or self.scanner.is_open or may_matter(line) or self._has_no_header():
            record = self._read(line)
            self._in_trace = record.continues and self.scanner.headed and (self._in_trace or TRACEBACK in line)
            if record.continues:
                self.scanner.add_line(record.message)
            else:
                self.scanner.add_record(record, self.lines)
        else:
            self._in_trace = False
        self.scanner.window.add(self.lines, line)
        self.printed += any(mark in line for mark in _PRINTED) and not any(mark in line for mark in _COMMANDS)
        self._tail.add(
            self.lines, line, TRACE if self._in_trace else OWN_LINE if self._is_own(line) else normalize_line(line)
        )

    def _has_no_header(self) -> bool:
        """Tell whether it is still unknown if this log has Airflow's form."""
        return not self.scanner.headed and self.lines < _FORM_KNOWN

    def _is_own(self, line: str) -> bool:
        if self.lines == 1 and not self._structured and _HOST.fullmatch(line):
            return True
        if self.lines > _OWN_LINES:
            return "::endgroup::" in line or "::group::Post" in line
        if any(mark in line for mark in _OWN_BEGINS):
            self._in_own = True
        is_own = self._in_own or "::group::Post" in line
        if "::endgroup::" in line:
            is_own, self._in_own = True, False
        return is_own and is_plain(line) and not any(mark in line for mark in _NOT_PLAIN)

    def _render(self, line: str) -> str:
        return render(self._read(line))


class WindowScan(_BaseScan):
    """Passes every line of a log, fed as bytes, to its window."""

    def __init__(self, form: LogForm, request: WindowRequest, budget: int) -> None:
        """Create a scan; `budget` is the number of characters of JSON that the window's lines may take."""
        super().__init__(form)
        self.window = LogWindow(request, budget, self._read)

    def _take(self, line: str) -> None:
        self.window.take(self.lines, line)
