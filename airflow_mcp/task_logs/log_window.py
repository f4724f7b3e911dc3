"""A part of a log, as asked for: from its start or its end, filtered, with a cursor to the next part.

What is selected depends on the filters alone, and a window is a part of the selection by line numbers, so windows
that follow each other's cursors tell every selected line once.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import re2

from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.task_logs.log_tail import (
    LEAST,
    NOTHING,
    RAW_LINES,
    LogLines,
    LogTail,
    compact_json,
    fit_items,
    measure_cost,
    render_item,
)
from airflow_mcp.task_logs.records import INFO, LEVELS, LogRecord, parse_moment, render
from airflow_mcp.task_logs.repeated_lines import LINE_SIZE, Item, RepeatedLine, normalize_line

_CURSOR = re.compile(r"([se])(\d{1,12})\.([0-9a-f]{12})")
_FOLD_SIZE = 5  # lines of a run from which on it takes no more room
_LONGEST_PATTERN = 500  # characters
_PATTERN_MEMORY = 2 * 1024 * 1024  # bytes RE2 may use for one pattern
FILTERS = ("grep", "context", "level", "since")


@dataclass(frozen=True)
class WindowRequest:
    """What was asked for. `at`: a window from the start begins with this line, one from the end ends before it."""

    from_start: bool
    at: int | None
    pattern: re2._Regexp | None  # pyright: ignore[reportPrivateUsage] - what re2.compile gives
    context: int
    level: int
    since: datetime | None
    digest: str

    @property
    def has_filters(self) -> bool:
        """Whether some lines may not be wanted."""
        return self.pattern is not None or self.level > 0 or self.since is not None

    def cursor(self, line: int) -> str:
        """For the window that goes on at (or ends before) this line."""
        return f"{'s' if self.from_start else 'e'}{line}.{self.digest}"


def read_request(ids: dict[str, Any], arguments: dict[str, Any]) -> WindowRequest:
    """Read a call's arguments. Raises InvalidArgumentsError for a bad pattern and for another call's cursor."""
    told = [ids, *(arguments.get(name) for name in FILTERS)]
    digest = hashlib.sha256(compact_json(told).encode()).hexdigest()[:12]
    direction = arguments.get("from", "end")
    at = None
    if "cursor" in arguments:
        match = _CURSOR.fullmatch(arguments["cursor"])
        side = {"s": "start", "e": "end"}[match[1]] if match else ""
        if match is None or match[3] != digest or arguments.get("from", side) != side:
            raise InvalidArgumentsError(
                "read_task_log: this cursor belongs to another log or to other filters. Repeat the arguments of the "
                "answer that held it in `more`, or leave it out."
            )
        direction, at = side, int(match[2])
    since = arguments.get("since")
    return WindowRequest(
        from_start=direction == "start",
        at=at,
        pattern=_compile(arguments["grep"]) if "grep" in arguments else None,
        context=arguments.get("context", 0),
        level=LEVELS[arguments["level"]] if "level" in arguments else 0,
        since=datetime.fromisoformat(since) if since else None,
        digest=digest,
    )


def _compile(pattern: str) -> re2._Regexp:  # pyright: ignore[reportPrivateUsage]
    """RE2, since its time grows with the line's length only, whatever the pattern."""
    if len(pattern) > _LONGEST_PATTERN:
        raise InvalidArgumentsError(f"read_task_log: grep may have at most {_LONGEST_PATTERN} characters.")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        told = error.args[0] if error.args else ""
        why = told.decode("utf-8", "replace") if isinstance(told, bytes) else "it cannot be encoded"
        raise InvalidArgumentsError(
            f"read_task_log: grep is no RE2 pattern ({why}). Lookarounds and backreferences do not exist there; "
            "put a backslash before ( ) [ ] { } . * + ? | meant as such."
        ) from None


class LogWindow:
    """Fed every line in order; afterwards it has the part of the log that was asked for.

    LineReader are kept as they came and made safe when they are matched or shown: most are neither.
    """

    def __init__(self, request: WindowRequest, budget: int, read: Callable[[str], LogRecord]) -> None:
        """`budget` is characters of JSON for the lines; `read` makes a record of a line."""
        self.wish = request
        self.matched = 0  # lines that the filters take, in the whole log
        self._read = read
        self._room = budget
        self._line_size = max(LINE_SIZE, min(2000, budget // 4))
        self._tail = LogTail(budget * RAW_LINES, LEAST)
        self._forward = _ForwardWindow(budget, self._measure_cost)
        self._before: deque[tuple[int, str]] = deque(maxlen=request.context)
        self._after = 0  # lines of context that are still due
        self._level, self._moment = INFO, ""
        self._reachable = 0  # selected lines on this side of the cursor

    def take(self, number: int, line: str) -> None:
        """The next line."""
        if not self.wish.has_filters:
            self._select(number, line, "")
        elif self._matches(line):
            self.matched += 1
            for earlier, kept in self._before:
                self._select(earlier, kept, "-")
            self._before.clear()
            self._select(number, line, ":")
            self._after = self.wish.context
        elif self._after:
            self._after -= 1
            self._select(number, line, "-")
        elif self.wish.context:
            self._before.append((number, line))

    def get_result(self) -> tuple[LogLines, int, str | None]:
        """The lines, how many more lie behind the cursor, and that cursor if there are any."""
        if self.wish.from_start:
            runs, going_on = self._forward.runs, self._forward.next
            if len(runs) == 1:  # taken in any case
                lines = render_item(runs[0], self._room, self._show, self._line_size)
            else:
                lines = [line for run in runs for line in self._show(run, self._line_size)]
            shown = LogLines(lines, runs[0].first, runs[-1].last, sum(run.count for run in runs)) if runs else NOTHING
        else:
            shown = fit_items(reversed(self._tail.items), self._room, self._show, self._line_size)
            going_on = shown.first
        left = self._reachable - shown.covered
        return shown, left, self.wish.cursor(going_on) if left > 0 else None

    def _matches(self, line: str) -> bool:
        """Whether the filters take it; a line that continues a record has the record's level and time."""
        wish = self.wish
        record = self._read(line)
        if not record.continues:
            self._level, self._moment = record.level, record.moment or self._moment
        if self._level < wish.level:
            return False
        if wish.since and ((time := parse_moment(self._moment)) is None or time < wish.since):
            return False
        return wish.pattern is None or wish.pattern.search(render(record)) is not None

    def _select(self, number: int, line: str, mark: str) -> None:
        at = self.wish.at
        key = normalize_line(line)
        text = f"{number}{mark} {line}" if mark else line
        if self.wish.from_start:
            if at is None or number >= at:
                self._reachable += 1
                self._forward.add(number, text, key)
        elif at is None or number < at:
            self._reachable += 1
            self._tail.add(number, text, key)

    def _show(self, item: Item, line_size: int) -> list[str]:
        return item.show(self._render, line_size)

    def _render(self, text: str) -> str:
        number, line = "", text
        if self.wish.has_filters:
            number, _, line = text.partition(" ")
        return f"{number} {render(self._read(line))}".strip()

    def _measure_cost(self, run: RepeatedLine) -> int:
        return measure_cost(self._show(run, self._line_size))


class _ForwardWindow:
    """The first runs that fit."""

    def __init__(self, budget: int, cost_of: Callable[[RepeatedLine], int]) -> None:
        self.runs: list[RepeatedLine] = []
        self.next = 0  # the first line that did not fit
        self._room = budget  # left behind the runs that are closed
        self._cost_of = cost_of
        self._cost = 0  # of the last run

    def add(self, number: int, text: str, key: bytes) -> None:
        """The next line, unless the window is full."""
        if self.next:
            return
        last = self.runs[-1] if self.runs else None
        if last and last.key == key:
            run, room = last.copy(), self._room
            run.add(number, text, key)
            longer = len(text) - len(last.texts[-1])
            spent = self._cost + longer if last.count > _FOLD_SIZE else self._cost_of(run)  # only the last line changes
        else:
            run, room = RepeatedLine(key, number, number, [text]), self._room - self._cost
            spent = self._cost_of(run)
        if last and spent > room:
            self.next = number
            return
        if last and last.key == key:
            self.runs[-1] = run
        else:
            self.runs.append(run)
        self._room, self._cost = room, spent
