"""Fold repeated lines: runs of lines that are the same but for numbers, and rounds of such runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from airflow_mcp.text import shorten

_NUMBER = re.compile(r"\d+[:-] ")
_TIME = re.compile(r'(?:\[[^\]]*\] |\{"timestamp":[^,]*,|\d\d:\d\d:\d\d )?')
LINE_SIZE = 240  # characters shown of a line, unless the answer has space for more
# Keys of lines that are only counted.
TRACE, OWN_LINE = b"\0traceback", b"\0own"
_ONLY_COUNTED = {TRACE: "of traceback", OWN_LINE: "of Airflow's own"}
Render: TypeAlias = Callable[[str], str]


def normalize_line(text: str) -> bytes:
    """Return what lines that differ only in numbers and times have in common."""
    return text.encode("utf-8", "replace").translate(None, b"0123456789")


def strip_time(text: str) -> str:
    """Return a line without its time."""
    match = _TIME.match(text)
    return text[match.end() :] if match else text


def strip_number(text: str) -> str:
    """Return a line without its number and time."""
    match = _NUMBER.match(text)
    return strip_time(text[match.end() :] if match else text)


@dataclass(slots=True)
class RepeatedLine:
    """Consecutive lines with the same key: the first two texts, the last one, and their number."""

    key: bytes
    first: int  # line numbers, from 1
    last: int
    texts: list[str]
    count: int = 1
    is_identical: bool = True  # not even a number differs

    def copy(self) -> RepeatedLine:
        """Return a copy of the run."""
        return RepeatedLine(self.key, self.first, self.last, list(self.texts), self.count, self.is_identical)

    def takes(self, key: bytes) -> bool:
        """Tell whether a line with this key continues the run."""
        return key == self.key

    def add(self, number: int, text: str, key: bytes) -> None:
        """Add the next line."""
        del key
        self.is_identical = self.is_identical and strip_number(text) == strip_number(self.texts[0])
        self.count += 1
        self.last = number
        if len(self.texts) < 3:
            self.texts.append(text)
        else:
            self.texts[-1] = text

    @property
    def size(self) -> int:
        """Approximate number of characters held."""
        return sum(map(len, self.texts)) + 2

    def show(self, render: Render = str, line_size: int = LINE_SIZE) -> list[str]:
        """Return the lines to show for the run; `render` makes a line of a text."""
        if what := _ONLY_COUNTED.get(self.key):
            return [f"  … {self.count:,} lines {what}" if self.count > 1 else f"  … a line {what}"]
        if self.count < 3 or (self.count == 3 and not self.is_identical):
            return [shorten(render(text), line_size) for text in self.texts]
        first = shorten(render(self.texts[0]), line_size)
        if self.is_identical:
            return [first, f"… the same line {self.count - 1:,} more times"]
        last = shorten(render(self.texts[-1]), line_size)
        return [first, f"… {self.count - 2:,} more lines that differ only in numbers", last]


@dataclass(slots=True)
class RepeatedRound:
    """Runs that recur in the same order, as where something is polled or retried."""

    first_round: list[RepeatedLine]
    current_round: list[RepeatedLine]
    # The complete round before the current one.
    last_round: list[RepeatedLine] = field(default_factory=list[RepeatedLine])
    count: int = 0  # of lines

    @classmethod
    def create(cls, runs: Sequence[RepeatedLine]) -> RepeatedRound:
        """Create a round of runs that make up two complete rounds."""
        half = len(runs) // 2
        return cls(list(runs[:half]), list(runs[half:]), count=sum(run.count for run in runs))

    @property
    def first(self) -> int:
        """Number of its first line."""
        return self.first_round[0].first

    @property
    def last(self) -> int:
        """Number of its last line."""
        return self.current_round[-1].last

    @property
    def key(self) -> bytes:
        """Empty, since a round is not continued by one key alone."""
        return b""

    def copy(self) -> RepeatedRound:
        """Return a copy of the round."""
        rounds = ([run.copy() for run in runs] for runs in (self.first_round, self.current_round, self.last_round))
        return RepeatedRound(*rounds, count=self.count)

    def takes(self, key: bytes) -> bool:
        """Tell whether a line with this key continues the round, or its last run."""
        at = len(self.current_round)
        return key in (self.first_round[at - 1].key, self.first_round[at % len(self.first_round)].key)

    def add(self, number: int, text: str, key: bytes) -> None:
        """Add the next line."""
        self.count += 1
        if key == self.current_round[-1].key:
            self.current_round[-1].add(number, text, key)
            return
        if len(self.current_round) == len(self.first_round):
            self.last_round, self.current_round = self.current_round, []
        self.current_round.append(RepeatedLine(key, number, number, [text]))

    @property
    def size(self) -> int:
        """Approximate number of characters held."""
        return sum(run.size for runs in (self.first_round, self.last_round, self.current_round) for run in runs)

    def show(self, render: Render = str, line_size: int = LINE_SIZE) -> list[str]:
        """Return the lines of the first round, the number of lines that follow, and the lines of the last round."""
        last_runs = [*self.last_round, *self.current_round][-len(self.first_round) :]
        hidden = self.count - sum(run.count for run in [*self.first_round, *last_runs])
        lines = [line for run in self.first_round for line in run.show(render, line_size)]
        if hidden > 0:
            lines.append(f"… {hidden:,} more lines, these in turn")
        return lines + [line for run in last_runs for line in run.show(render, line_size)]


Item: TypeAlias = RepeatedLine | RepeatedRound
