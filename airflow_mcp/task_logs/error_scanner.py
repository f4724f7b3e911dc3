"""Find the decisive one of a log's errors while the records stream by.

The order of precedence, where of equals the last counts:
1. Airflow's own report that the task failed, with its exception;
2. Airflow's words that the process ended without one (process_end.py);
3. an exception the task logged as an error: it may have been handled, so it is decisive only without 1 and 2;
4. a line logged as an error;
5. what went to stderr, which 3.x logs as an error and many programs use for plain messages.
A warning, with a traceback or without, does not count: the program went on after it. Output that was printed before is
kept as well (output_lines.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import re2

from airflow_mcp.task_logs.exception_chain import LoggedException
from airflow_mcp.task_logs.output_lines import OutputWindow
from airflow_mcp.task_logs.process_end import MARKS, ProcessEnd, find_process_end
from airflow_mcp.task_logs.python_traceback import TRACEBACK, find_traceback
from airflow_mcp.task_logs.records import ERROR, WARNING, LogRecord
from airflow_mcp.task_logs.repeated_lines import Item

# Airflow's own reports, which are the same for every failure and so say nothing about its cause.
REPORTS = ("Task failed with exception",)  # 2: taskinstance.py; 3: task_runner.py
LATE_REPORTS = ("Failed to execute job", "Top level error")  # 2: standard_task_runner.py; 3: task_runner.py
COMMAND_ENDED = "Command exited with return code"  # both: SubprocessHook, behind the output of a bash command
TRIGGER_FAILED = "Trigger failed:"  # 2: baseoperator.py; 3: sdk/bases/operator.py, with the trigger's traceback
# Airflow says that the task ended in an ordinary way. 2: taskinstance.py; 3: task_runner.py
_ORDINARY_ENDS = ("Marking task as ", "Immediate failure requested", "::group::Post Execute", *REPORTS)
_ALWAYS = (COMMAND_ENDED, *MARKS)
_LOUD = ('"error"', '"critical"', '"error_detail"', " ERROR - ", " CRITICAL - ")
_MATTERS = re2.compile("|".join(map(re2.escape, (TRACEBACK, *_LOUD, *_ALWAYS, *_ORDINARY_ENDS))))
_LINES = 2_000  # kept from the start of a record
_LAST_LINES = 500  # kept from its end, if it is longer
_SIZE = 400_000  # characters of these
Items = tuple[Item, ...]


class Rank(IntEnum):
    """How much an error says; the highest in a log is the decisive one."""

    STDERR = 1
    LOGGED = 2
    RAISED = 3
    REPORTED_LATE = 4  # the process's last words: repeats the report where there is one
    REPORTED = 5


@dataclass
class LoggedError:
    """An error record: what was logged, its exceptions (the raised one first), and the lines before it."""

    message: str
    line: int
    rank: Rank
    chain: list[LoggedException] = field(default_factory=list[LoggedException])
    before: Items = ()
    # Raw lines that were printed before it; only for a reported error.
    output: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


@dataclass
class _OpenRecord:
    """A record to which further lines may still be added."""

    record: LogRecord
    line: int
    before: Items
    output: list[tuple[int, str]]
    lines: list[str] = field(default_factory=list[str])
    last: deque[str] = field(default_factory=lambda: deque[str](maxlen=_LAST_LINES))
    size: int = 0

    def add(self, text: str) -> None:
        """Add a further line; of very many lines the first and the last are kept."""
        self.size += len(text)
        if len(self.lines) < _LINES and self.size < _SIZE:
            self.lines.append(text)
        else:
            self.last.append(text[: _SIZE // _LAST_LINES])

    @property
    def text(self) -> str:
        """The whole message."""
        return "\n".join([self.record.message, *self.lines, *self.last])


def may_matter(line: str) -> bool:
    """Tell whether a line must be read; the test is cheap, since most lines need not."""
    return _MATTERS.search(line) is not None


class ErrorScanner:
    """Reads a log record by record, and keeps its decisive error and the end of its process."""

    def __init__(self, latest: Callable[[], Items]) -> None:
        """Create a scanner; `latest` returns the last lines before the present one, folded."""
        self.end: ProcessEnd | None = None
        self.before_end: Items = ()
        self.errors = 0  # records logged as errors
        self.headed = False  # whether the log has Airflow's form, in which Airflow would report a failure
        self.ordinary = False  # whether Airflow says that it handled the task's end
        self.window = OutputWindow()  # what was printed since the last report
        self._latest = latest
        self._best: dict[Rank, LoggedError] = {}
        self._open: _OpenRecord | None = None
        self._trigger: list[LoggedException] = []

    @property
    def error(self) -> LoggedError | None:
        """The error of the highest rank that was logged or reported."""
        return self._best[max(self._best)] if self._best else None

    @property
    def reported(self) -> bool:
        """Whether Airflow itself reported the task's exception."""
        return any(rank >= Rank.REPORTED_LATE for rank in self._best)

    @property
    def is_open(self) -> bool:
        """Whether the next line may belong to the record before it."""
        return self._open is not None

    def add_record(self, record: LogRecord, line: int) -> None:
        """Add the next record, or its first line."""
        self.close()
        self.headed = self.headed or bool(record.moment)
        if record.official and record.message.startswith(_ORDINARY_ENDS):
            self.ordinary = True
        if record.level >= ERROR:
            self.errors += 1
            reported = record.message.startswith(REPORTS + LATE_REPORTS) and not record.printed
            output = self.window.take_all() if reported else []
            self._open = _OpenRecord(record, line, self._latest(), output)
        elif any(mark in record.message for mark in _ALWAYS):
            self._find_end(record, line, self._latest())

    def add_line(self, text: str) -> None:
        """Add a line that continues the open record."""
        if self._open is not None:
            self._open.add(text)

    def close(self) -> None:
        """Evaluate the open record, which is complete now."""
        open_record, self._open = self._open, None
        if open_record is None:
            return
        record, text = open_record.record, open_record.text
        chain = record.chain or (find_traceback(text) if TRACEBACK in text else [])
        record.chain = chain
        if TRACEBACK in text:
            text = text.partition(TRACEBACK)[0].rpartition("\n")[0] or text.partition("\n")[0]
        record.message = text
        if text.startswith(TRIGGER_FAILED):
            self._trigger = chain
        if self._find_end(record, open_record.line, open_record.before) and not chain:
            return
        rank = _rank(record, chain)
        if rank is None:
            return
        if chain and chain[0].text.endswith("Trigger failure") and self._trigger:
            chain = [*chain, *self._trigger]
        self._best[rank] = LoggedError(text, open_record.line, rank, chain, open_record.before, open_record.output)

    def _find_end(self, record: LogRecord, line: int, before: Items) -> bool:
        """Note the end of the process if this record reports it, and return whether it does."""
        end = find_process_end(record, line)
        if end is None:
            return False
        if self.end is None or end.rank < self.end.rank:
            self.end, self.before_end = end, before
        return True


def _rank(record: LogRecord, chain: list[LoggedException]) -> Rank | None:
    if record.source.startswith("task.stderr"):
        return Rank.LOGGED if chain else Rank.STDERR
    if chain and record.level >= ERROR:
        if record.message.startswith(REPORTS):
            return Rank.REPORTED
        return Rank.REPORTED_LATE if record.message.startswith(LATE_REPORTS) else Rank.RAISED
    if record.level == WARNING and not record.printed:
        return None
    return Rank.LOGGED if chain or record.level >= ERROR else None
