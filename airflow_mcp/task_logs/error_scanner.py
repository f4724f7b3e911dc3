"""Which of a log's errors is the decisive one, found while the records pass by.

What counts, the most telling first, and of equals the last:
1. Airflow's own report that the task failed, with its exception;
2. Airflow's words that the process died without one (deaths.py);
3. an exception the task logged as an error: it may have been handled, so it is decisive only without 1 and 2;
4. a line logged as an error, or a traceback that was printed;
5. what went to stderr, which 3.x logs as an error and many programs use for plain messages.
A warning, with a traceback or without, is none: its writer went on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import re2

from airflow_mcp.task_logs.exception_chain import TRACEBACK, LoggedException, TracebackParser
from airflow_mcp.task_logs.process_end import MARKS, ProcessEnd, find_process_end
from airflow_mcp.task_logs.records import ERROR, WARNING, LogRecord
from airflow_mcp.task_logs.repeated_lines import Item

# Airflow's own reports. Above every failure, so as a message they tell nothing.
REPORTS = ("Task failed with exception",)  # 2: taskinstance.py; 3: task_runner.py
LATE_REPORTS = ("Failed to execute job", "Top level error")  # 2: standard_task_runner.py; 3: task_runner.py
COMMAND_ENDED = "Command exited with return code"  # both: SubprocessHook, behind the output of a bash command
_ALWAYS = (TRACEBACK, COMMAND_ENDED, *MARKS)
_LOUD = ('"error"', '"critical"', '"error_detail"', " ERROR - ", " CRITICAL - ")
_TELLING = re2.compile("|".join(map(re2.escape, (*_LOUD, *_ALWAYS))))  # one pass, however many words
_MESSAGE = 4_000  # characters of a message of several lines that are kept
_NEAR = 60  # lines between a command's end and the error that came of it
Items = tuple[Item, ...]


class Rank(IntEnum):
    """How much an error tells; the highest in a log is the decisive one."""

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
    output: Items = ()  # the end of a command's output, where the error is that it failed


@dataclass
class _OpenRecord:
    """A record whose further lines may still come."""

    record: LogRecord
    line: int
    before: Items
    printed: TracebackParser | None = None
    from_start: bool = False  # the record's own message begins the traceback: its lines may be records themselves


def may_matter(line: str) -> bool:
    """Whether a line may matter, and so must be read; cheap, since most lines do not."""
    return _TELLING.search(line) is not None


class ErrorScanner:
    """Fed record by record; afterwards it knows the error, or of what the task died."""

    def __init__(self, latest: Callable[[], Items]) -> None:
        """`latest` gives the last lines before the present one, folded."""
        self.death: ProcessEnd | None = None
        self.died_after: Items = ()
        self.errors = 0  # records logged as errors
        self.headed = False  # whether the log has Airflow's form, in which Airflow would report a failure
        self._latest = latest
        self._best: dict[Rank, LoggedError] = {}
        self._open: _OpenRecord | None = None
        self._command: tuple[int, Items] = (0, ())

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

    def record(self, record: LogRecord, line: int) -> None:
        """The next record, or its first line."""
        self.headed = self.headed or bool(record.moment)
        first, *rest = record.message.split("\n")
        if self._goes_on(first):
            for text in rest:
                self.more(text)
            return
        self.close()
        begins = TRACEBACK in first
        if record.level >= ERROR or begins:
            self.errors += record.level >= ERROR
            self._open = _OpenRecord(record, line, self._latest(), from_start=begins)
            if begins:
                self._open.printed = TracebackParser()
                self._open.printed.take(first, more=False)
            record.message = first
            for text in rest:
                self.more(text)
        elif any(mark in record.message for mark in _ALWAYS):
            self._spoken(record, line, self._latest())

    def more(self, text: str) -> None:
        """A line that continues the record."""
        if self._open is None:
            return
        if self._open.printed is None and TRACEBACK in text:
            self._open.printed = TracebackParser()
        if self._open.printed is not None:
            # In a log of a form we do not know, nothing else says where a traceback ends.
            if not self._open.printed.take(text, more=not self._open.record.continues):
                self.close()
        elif len(self._open.record.message) < _MESSAGE:
            self._open.record.message += f"\n{text}"

    def close(self) -> None:
        """The record is whole."""
        opened, self._open = self._open, None
        if opened is None:
            return
        record = opened.record
        chain = record.chain = record.chain or (opened.printed.result() if opened.printed else [])
        if self._spoken(record, opened.line, opened.before) and not chain:
            return
        rank = _rank(record, chain)
        if rank is None:
            return
        error = LoggedError(record.message, opened.line, rank, chain, opened.before)
        ended, output = self._command
        if ended and 0 < opened.line - ended <= _NEAR:
            error.output = output
        self._best[rank] = error

    def _goes_on(self, text: str) -> bool:
        """Whether this begins a record of its own and yet is a line of the traceback that is being printed."""
        printed = self._open.printed if self._open and self._open.from_start else None
        return printed is not None and printed.take(text, more=False)

    def _spoken(self, record: LogRecord, line: int, before: Items) -> bool:
        """Whether Airflow says here that a command ended, or the process."""
        if COMMAND_ENDED in record.message:
            self._command = (line, before)
            return True
        death = find_process_end(record, line)
        if death is None:
            return False
        if self.death is None or death.rank < self.death.rank:
            self.death, self.died_after = death, before
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
