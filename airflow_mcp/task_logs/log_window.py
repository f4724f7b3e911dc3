"""Read a window of a log, from its start or its end, filtered, with a cursor to the next window.

The selection depends on the filters alone, and a window is a part of the selection by line numbers, so windows that
follow each other's cursors contain every selected line once.
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
_FOLD_SIZE = 5  # lines of a run from which on further ones take no more characters
_LONGEST_PATTERN = 500  # characters
_PATTERN_MEMORY = 2 * 1024 * 1024  # bytes RE2 may use for one pattern
FILTERS = ("grep", "context", "level", "since")


@dataclass(frozen=True)
class WindowRequest:
    """The arguments of a window.

    `at`: a window from the start begins with this line, one from the end ends before it.
    """

    from_start: bool
    at: int | None
    pattern: re2._Regexp | None  # pyright: ignore[reportPrivateUsage] - what re2.compile gives
    context: int
    level: int
    since: datetime | None
    digest: str

    @property
    def has_filters(self) -> bool:
        """Whether filters may exclude lines."""
        return self.pattern is not None or self.level > 0 or self.since is not None

    def cursor(self, line: int) -> str:
        """Return the cursor of the window that continues at (or ends before) this line."""
        return f"{'s' if self.from_start else 'e'}{line}.{self.digest}"


def read_request(ids: dict[str, Any], arguments: dict[str, Any]) -> WindowRequest:
    """Read a call's arguments. Raises InvalidArgumentsError for a bad pattern and for another call's cursor."""
    filters = [ids, *(arguments.get(name) for name in FILTERS)]
    digest = hashlib.sha256(compact_json(filters).encode()).hexdigest()[:12]
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
    """Compile a pattern with RE2, whose time is linear in the line's length, whatever the pattern."""
    if len(pattern) > _LONGEST_PATTERN:
        raise InvalidArgumentsError(f"read_task_log: grep may have at most {_LONGEST_PATTERN} characters.")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        message = error.args[0] if error.args else ""
        why = message.decode("utf-8", "replace") if isinstance(message, bytes) else "it cannot be encoded"
        raise InvalidArgumentsError(
            f"read_task_log: grep is no RE2 pattern ({why}). Lookarounds and backreferences do not exist there; "
            "put a backslash before ( ) [ ] { } . * + ? | meant as such."
        ) from None


class LogWindow:
    """Collects the requested part of a log from its lines, taken in order.

    Lines are kept as they came and made safe when they are matched or shown: most are neither.
    """

    def __init__(self, request: WindowRequest, budget: int, read: Callable[[str], LogRecord]) -> None:
        """Create a window; `budget` is characters of JSON for the lines, `read` makes a record of a line."""
        self.wish = request
        self.matched = 0  # lines that the filters take, in the whole log
        self._read = read
        self._room = budget
        self._line_size = max(LINE_SIZE, min(2000, budget // 4))
        self._tail = LogTail(budget * RAW_LINES, LEAST)
        self._forward = _ForwardWindow(budget, self._measure_cost)
        self._before: deque[tuple[int, str]] = deque(maxlen=request.context)
        self._after = 0  # lines of context still to be selected
        self._level, self._moment = INFO, ""
        self._reachable = 0  # selected lines on this side of the cursor

    def take(self, number: int, line: str) -> None:
        """Take the next line."""
        if not self.wish.has_filters:
            self._select(number, line, "")
        elif self._matches(line):
            self.matched += 1
            for context_number, context_line in self._before:
                self._select(context_number, context_line, "-")
            self._before.clear()
            self._select(number, line, ":")
            self._after = self.wish.context
        elif self._after:
            self._after -= 1
            self._select(number, line, "-")
        elif self.wish.context:
            self._before.append((number, line))

    def get_result(self) -> tuple[LogLines, int, str | None]:
        """Return the lines, the number of lines behind the cursor, and the cursor if there are any."""
        if self.wish.from_start:
            runs, cursor_line = self._forward.runs, self._forward.next
            if len(runs) == 1:  # rendered in any case, cut if need be
                lines = render_item(runs[0], self._room, self._show, self._line_size)
            else:
                lines = [line for run in runs for line in self._show(run, self._line_size)]
            result = LogLines(lines, runs[0].first, runs[-1].last, sum(run.count for run in runs)) if runs else NOTHING
        else:
            result = fit_items(reversed(self._tail.items), self._room, self._show, self._line_size)
            cursor_line = result.first
        remaining = self._reachable - result.covered
        return result, remaining, self.wish.cursor(cursor_line) if remaining > 0 else None

    def _matches(self, line: str) -> bool:
        """Tell whether the filters accept a line; a continuation has the level and time of its record."""
        request = self.wish
        record = self._read(line)
        if not record.continues:
            self._level, self._moment = record.level, record.moment or self._moment
        if self._level < request.level:
            return False
        if request.since and ((time := parse_moment(self._moment)) is None or time < request.since):
            return False
        return request.pattern is None or request.pattern.search(render(record)) is not None

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
    """The first runs of a log that fit into a budget."""

    def __init__(self, budget: int, cost_of: Callable[[RepeatedLine], int]) -> None:
        self.runs: list[RepeatedLine] = []
        self.next = 0  # the first line that did not fit
        self._room = budget  # what the closed runs leave of the budget
        self._cost_of = cost_of
        self._cost = 0  # of the last run

    def add(self, number: int, text: str, key: bytes) -> None:
        """Add the next line, unless the window is full."""
        if self.next:
            return
        last = self.runs[-1] if self.runs else None
        if last and last.key == key:
            run, budget = last.copy(), self._room
            run.add(number, text, key)
            growth = len(text) - len(last.texts[-1])
            cost = self._cost + growth if last.count > _FOLD_SIZE else self._cost_of(run)  # only the last line changes
        else:
            run, budget = RepeatedLine(key, number, number, [text]), self._room - self._cost
            cost = self._cost_of(run)
        if last and cost > budget:
            self.next = number
            return
        if last and last.key == key:
            self.runs[-1] = run
        else:
            self.runs.append(run)
        self._room, self._cost = budget, cost
