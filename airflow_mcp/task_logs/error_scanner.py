"""Which of a log's errors is the decisive one, found while the records pass by.

What counts, the most telling first, and of equals the last:
1. Airflow's own report that the task failed, with its exception;
2. Airflow's words that the process ended without one (process_end.py);
3. an exception the task logged as an error: it may have been handled, so it is decisive only without 1 and 2;
4. a line logged as an error;
5. what went to stderr, which 3.x logs as an error and many programs use for plain messages.
A warning, with a traceback or without, is none: its writer went on. What was printed before is kept beside
(output_lines.py).
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

# Airflow's own reports. Above every failure, so as a message they say nothing.
REPORTS = ("Task failed with exception",)  # 2: taskinstance.py; 3: task_runner.py
LATE_REPORTS = ("Failed to execute job", "Top level error")  # 2: standard_task_runner.py; 3: task_runner.py
COMMAND_ENDED = "Command exited with return code"  # both: SubprocessHook, behind the output of a bash command
TRIGGER_FAILED = "Trigger failed:"  # 2: baseoperator.py; 3: sdk/bases/operator.py, with the trigger's traceback
# Airflow says that the task ended in an ordinary way. 2: taskinstance.py; 3: task_runner.py
_ORDINARY_ENDS = ("Marking task as ", "Immediate failure requested", "::group::Post Execute", *REPORTS)
_ALWAYS = (COMMAND_ENDED, *MARKS)
_LOUD = ('"error"', '"critical"', '"error_detail"', " ERROR - ", " CRITICAL - ")
_MATTERS = re2.compile("|".join(map(re2.escape, (TRACEBACK, *_LOUD, *_ALWAYS, *_ORDINARY_ENDS))))
_LINES = 2_000  # of a record that are kept from its start, and behind them
_LAST_LINES = 500
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
    # Raw lines that were printed before it, of a reported one.
    output: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


@dataclass
class _OpenRecord:
    """A record whose further lines may still come."""

    record: LogRecord
    line: int
    before: Items
    output: list[tuple[int, str]]
    lines: list[str] = field(default_factory=list[str])
    last: deque[str] = field(default_factory=lambda: deque[str](maxlen=_LAST_LINES))
    size: int = 0

    def add(self, text: str) -> None:
        """Take a further line; of very many the first and the last are kept."""
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
    """Whether a line must be read; cheap, since most need not."""
    return _MATTERS.search(line) is not None


class ErrorScanner:
    """Fed record by record; afterwards it knows the error, or how the process ended."""

    def __init__(self, latest: Callable[[], Items]) -> None:
        """Take `latest`, which gives the last lines before the present one, folded."""
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
        """The most telling error that was logged or reported."""
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
        """Take the next record, or its first line."""
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
        """Take a line that continues the record."""
        if self._open is not None:
            self._open.add(text)

    def close(self) -> None:
        """Take note that the record is whole."""
        opened, self._open = self._open, None
        if opened is None:
            return
        record, text = opened.record, opened.text
        chain = record.chain or (find_traceback(text) if TRACEBACK in text else [])
        record.chain = chain
        if TRACEBACK in text:
            text = text.partition(TRACEBACK)[0].rpartition("\n")[0] or text.partition("\n")[0]
        record.message = text
        if text.startswith(TRIGGER_FAILED):
            self._trigger = chain
        if self._find_end(record, opened.line, opened.before) and not chain:
            return
        rank = _rank(record, chain)
        if rank is None:
            return
        if chain and chain[0].text.endswith("Trigger failure") and self._trigger:
            chain = [*chain, *self._trigger]
        self._best[rank] = LoggedError(text, opened.line, rank, chain, opened.before, opened.output)

    def _find_end(self, record: LogRecord, line: int, before: Items) -> bool:
        """Whether Airflow says here that the process ended."""
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
