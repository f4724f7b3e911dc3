"""Keep the latest lines of a log, folded and in bounded memory, and render as many of them as fit into an answer."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airflow_mcp.task_logs.repeated_lines import LINE_SIZE, Item, RepeatedLine, RepeatedRound

LEAST = 40  # runs of lines kept from the end, however long they are
RAW_LINES = 16  # characters of a log kept for each one that is shown, at most
_LONGEST_ROUND = 4  # runs that may come in turn
RenderItem = Callable[[Item, int], list[str]]


class LogTail:
    """The latest lines as runs: at least `least` of these, and as many as `budget` characters hold."""

    def __init__(self, budget: int, least: int = 0) -> None:
        self._room = budget
        self._least = least
        self._size = 0  # characters of all items but the last, which may still grow
        self.items: deque[Item] = deque()

    def add(self, number: int, text: str, key: bytes) -> None:
        """Add the next line; lines with the same key differ only in numbers."""
        items = self.items
        if items and items[-1].takes(key):
            items[-1].add(number, text, key)
            return
        if self._begins_round(key):
            items[-1].add(number, text, key)
            return
        if items:
            self._size += items[-1].size
        items.append(RepeatedLine(key, number, number, [text]))
        while self._size > self._room and len(items) > max(self._least, 1):
            self._size -= items.popleft().size

    def _begins_round(self, key: bytes) -> bool:
        """Tell whether a third round of the same runs begins with this key; if so, fold the first two into one item."""
        for length in range(2, _LONGEST_ROUND + 1):
            if len(self.items) < 2 * length or self.items[-length].key != key:
                continue
            runs = [item for item in self._get_last(2 * length) if isinstance(item, RepeatedLine)]
            if len(runs) == 2 * length and all(runs[at].key == runs[at + length].key for at in range(length)):
                for run in runs[:-1]:
                    self._size -= run.size
                for _ in runs:
                    self.items.pop()
                self.items.append(RepeatedRound.create(runs))
                return True
        return False

    def get_latest(self, most: int, without: bytes = b"\0") -> tuple[Item, ...]:
        """Return copies of the last `most` items, oldest first, without those that have the key `without`."""
        return tuple(item.copy() for item in self._get_last(most) if item.key != without)

    def _get_last(self, most: int) -> list[Item]:
        return list(islice(reversed(self.items), most))[::-1]


@dataclass(frozen=True)
class LogLines:
    """Rendered lines, and the lines of the log that they stand for."""

    lines: list[str]
    first: int  # line numbers; 0 where nothing is shown
    last: int
    covered: int  # number of lines of the log that these stand for


NOTHING = LogLines([], 0, 0, 0)


def compact_json(value: Any) -> str:
    """Return JSON as answers contain it: no spaces, Unicode unescaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def measure_cost(lines: Iterable[str]) -> int:
    """Count the characters that lines take in an answer's JSON, their newlines included."""
    return sum(len(compact_json(line)) for line in lines)


def render_item(item: Item, budget: int, show: RenderItem, line_size: int = LINE_SIZE) -> list[str]:
    """Render an item in at most `budget` characters, its lines cut as far as that needs."""
    lines = show(item, line_size)
    while measure_cost(lines) > budget and line_size > 8:
        line_size //= 2
        lines = show(item, line_size)
    return lines


def fit_items(items: Iterable[Item], budget: int, show: RenderItem, line_size: int = LINE_SIZE) -> LogLines:
    """Render as many items as fit into `budget`, given latest first; the latest is always rendered, cut if need be."""
    blocks: list[list[str]] = []
    first = last = covered = 0
    for item in items:
        lines = show(item, line_size) if blocks else render_item(item, budget, show, line_size)
        budget -= measure_cost(lines)
        if blocks and budget < 0:
            break
        blocks.append(lines)
        first, last, covered = item.first, last or item.last, covered + item.count
    return LogLines([line for lines in reversed(blocks) for line in lines], first, last, covered)
