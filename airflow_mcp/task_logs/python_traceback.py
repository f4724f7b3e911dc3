"""Read tracebacks as Python, IPython and rich print them: chains, exception groups, notes.

Formats: traceback.TracebackException.format of CPython 3.11-3.14, IPython's verbose mode (papermill, notebooks), and
the boxes of rich.traceback (typer).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_mcp.task_logs.exception_chain import MOST_LINKS, MOST_MEMBERS, ChainLink, LoggedException
from airflow_mcp.task_logs.generic_errors import is_generic

TRACEBACK = "Traceback (most recent call last)"
_LINKS: dict[str, ChainLink] = {
    "direct cause of the following exception": "caused by",
    "another exception occurred": "while handling",
}
_FRAME = re.compile(r'\s*File "(.+?)", line (\d+)(?:, in (.+))?')
_NOTEBOOK_FRAME = re.compile(r"(?:File )?(\S+?):(\d+), in (.+)|(Cell|Input) In ?\[(\d+)\]")
_NOTEBOOK = re.compile(r"([A-Za-z_][\w.]*)\s{2,}$")  # before the title, IPython's
_BOX_FRAME = re.compile(r"[│|] (\S+?):(\d+) in (\S+)")
_BOX_END = re.compile(r"\s*╰[─ ]+.*╯")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:\[[\w.]+\])?(?:: .*|:)?$", re.DOTALL)
_MODULE = re.compile(r"^(?:\w+\.)+(?=[A-Za-z_]\w*(?::|$))")  # before an exception's type; 3.x does not name it
_GROUP_START = re.compile(r"^(\s*)\+ Exception Group Traceback")
_OPENS = re.compile(r"^\s*\+-\+-{3,} \d+ -{3,}$")
_NEXT = re.compile(r"^\s*\+-{3,} (?:\d+|\.\.\.) -{3,}$")
_CLOSES = re.compile(r"^\s*\+-{10,}$")
_MARGIN = re.compile(r"^\s*(?:\| ?|\+ (?=Exception Group))")
_COUNTED = re.compile(r"and (\d+) more exceptions?$")
_CONTINUATION = re.compile(r"\s|LINE \d+:|DETAIL:|HINT:|CONTEXT:|\[SQL|\[parameters|\(Background on")
_LONGEST_TEXT = 16_000  # characters of a message to which further lines are added
_LAST_LINES = 20  # lines kept from the end of a longer message
_LONGEST_BLOCK = 5_000  # lines


@dataclass
class _Chain:
    """Exceptions in the order in which they are printed, the raised one last."""

    exceptions: list[LoggedException] = field(default_factory=list[LoggedException])
    current: LoggedException | None = None
    link: ChainLink = "caused by"
    blank: bool = False  # the line before was blank
    end: deque[str] = field(default_factory=lambda: deque[str](maxlen=_LAST_LINES))  # of a message that is too long

    def begin(self) -> LoggedException:
        self.close()
        self.current = LoggedException(link=self.link)
        self.exceptions.append(self.current)
        self.link = "caused by"
        if len(self.exceptions) > MOST_LINKS:
            del self.exceptions[1]  # the root stays, and the last ones
        return self.current

    def close(self) -> None:
        """Append the end of a message that was too long, where some messages give the reason."""
        if self.end and self.exceptions:
            self.exceptions[-1].text += "\n" + "\n".join(self.end)
        self.end.clear()

    def take_line(self, line: str, *, bounded: bool) -> bool:
        """Take a line into the chain, or return False where it does not belong to it.

        `bounded`: whatever comes is more of the message.
        """
        blank, self.blank = self.blank, not line.strip()
        if TRACEBACK in line:
            if self.current is not None and self.current.text and not bounded:
                return False
            self.begin()
            return True
        for mark, link in _LINKS.items():
            if mark in line and (self.current is None or self.current.text):
                self.current, self.link = None, link
                return True
        if self.current is None or not self.current.text:
            return self._take_before_text(line, bounded)
        if self.blank:
            return True
        return self._take_after_text(self.current, line, bounded and not blank, bounded)

    def _take_before_text(self, line: str, bounded: bool) -> bool:
        if self.current is None and not self.blank and not bounded:
            return False
        if self.blank:
            return True
        exception = self.current or self.begin()
        if frame := _FRAME.match(line):
            exception.frames.append(f"{frame[1]}:{frame[2]} in {frame[3]}" if frame[3] else f"{frame[1]}:{frame[2]}")
            return True
        if line[:1] in (" ", "\t"):
            return True
        if not bounded and not _EXCEPTION.match(line):
            return False
        exception.text = _MODULE.sub("", line)
        return True

    def _take_after_text(self, now: LoggedException, line: str, follows: bool, bounded: bool) -> bool:
        goes_on = bounded or is_generic(now.message) or (not self.blank and _CONTINUATION.match(line) is not None)
        if not goes_on or _FRAME.match(line):
            return bounded
        if len(now.text) < _LONGEST_TEXT:
            now.text += f"\n{line}" if follows or not bounded else f"\n\n{line}"
        else:
            self.end.append(line)
        return True

    def get_result(self) -> list[LoggedException]:
        """Return the chain, the raised exception first."""
        self.close()
        chain = [exception for exception in reversed(self.exceptions) if exception.text]
        links: list[ChainLink] = [exception.link for exception in chain]
        for exception, link in zip(chain[1:], links, strict=False):
            exception.link = link  # in print, these words stand above the exception that followed
        for exception in chain:
            exception.text = exception.text.rstrip()
        return chain


def read_traceback(lines: Sequence[str], start: int = 0, *, bounded: bool = False) -> tuple[list[LoggedException], int]:
    """Read the traceback that begins in line `start`: its chain, the raised exception first, and the line behind it.

    `bounded`: nothing else follows in these lines, as in the message of one record.
    """
    line = lines[start]
    title = line.find(TRACEBACK)
    chain = _Chain()
    if "╭" in line[:title]:
        end = _read_boxes(chain, lines, start)
    elif (name := _NOTEBOOK.search(line[:title])) is not None:
        end = _read_notebook(chain, lines, start, name[1])
    else:
        end = _read_plain(chain, lines, start, bounded)
    return chain.get_result(), end


def find_traceback(text: str) -> list[LoggedException]:
    """Read the traceback in a text that holds one, the raised exception first; empty without one."""
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if TRACEBACK in line), None)
    return read_traceback(lines, start, bounded=True)[0] if start is not None else []


def _read_plain(chain: _Chain, lines: Sequence[str], start: int, bounded: bool) -> int:
    grouped = _GROUP_START.match(lines[start])
    before = "" if grouped else lines[start][: lines[start].index(TRACEBACK)]
    number = start
    while number < min(len(lines), start + _LONGEST_BLOCK):
        line = lines[number]
        if _GROUP_START.match(line) and (number == start or chain.current is None):
            number = _read_group(chain, lines, number)
            continue
        if number > start and TRACEBACK in line and (name := _NOTEBOOK.search(line[: line.index(TRACEBACK)])):
            number = _read_notebook(chain, lines, number, name[1])
            continue
        if before and line.startswith(before):
            line = line[len(before) :]
        if number == start:
            line = line[line.index(TRACEBACK) :]
        elif _ends_between(chain, lines, number, bounded):
            break
        if not chain.take_line(line, bounded=bounded):
            break
        number += 1
    return number


def _ends_between(chain: _Chain, lines: Sequence[str], number: int, bounded: bool) -> bool:
    """Tell whether a blank line behind the exception ends the chain, because no further exception follows."""
    if bounded or lines[number].strip() or chain.current is None or not chain.current.text:
        return False
    return not any(mark in line for line in lines[number + 1 : number + 3] for mark in _LINKS)


def _read_group(chain: _Chain, lines: Sequence[str], start: int) -> int:
    """Read a group with its margin; it ends at its closing line, or where the margin ends."""
    stack = [chain]
    open_groups: list[LoggedException] = []  # the groups whose members are being read
    number = start
    for number in range(start, min(len(lines), start + _LONGEST_BLOCK)):
        line = lines[number]
        if _OPENS.match(line) and stack[-1].current is not None:
            open_groups.append(stack[-1].current)
            stack.append(_Chain())
        elif _NEXT.match(line) and open_groups:
            _add_member(open_groups[-1], stack.pop())
            stack.append(_Chain())
        elif _CLOSES.match(line) and open_groups:
            _add_member(open_groups.pop(), stack.pop())
            if not open_groups:
                chain.current = None
                return number + 1
        elif (margin := _MARGIN.match(line)) is not None:
            text = line[margin.end() :]
            if open_groups and (counted := _COUNTED.match(text)) and not stack[-1].exceptions:
                open_groups[-1].uncounted = int(counted[1])
            else:
                stack[-1].take_line(text, bounded=True)
        else:
            break
    else:
        number += 1
    while open_groups:
        _add_member(open_groups.pop(), stack.pop())
    chain.current = None
    return number


def _add_member(group: LoggedException, member: _Chain) -> None:
    exceptions = member.get_result()
    if exceptions and len(group.members) < MOST_MEMBERS:
        group.members.append(exceptions)


def _read_boxes(chain: _Chain, lines: Sequence[str], start: int) -> int:
    """Read rich's boxes: frames in a box, the exception below it, broken where the terminal ends."""
    number = start
    while number < len(lines) and TRACEBACK in lines[number]:
        exception = chain.begin()
        number += 1
        while number < len(lines) and not _BOX_END.match(lines[number]):
            if frame := _BOX_FRAME.search(lines[number]):
                exception.frames.append(f"{frame[1]}:{frame[2]} in {frame[3]}")
            number += 1
        number += 1
        text_lines: list[str] = []
        while number < len(lines) and lines[number].strip() and len(text_lines) < 10 and TRACEBACK not in lines[number]:
            if text_lines and _EXCEPTION.fullmatch(text_lines[0]) and not _is_broken(text_lines[-1]):
                break
            text_lines.append(lines[number].strip())
            number += 1
        exception.text = _MODULE.sub("", " ".join(text_lines))
        next_number = number
        while next_number < len(lines) and next_number < number + 4 and TRACEBACK not in lines[next_number]:
            for mark, link in _LINKS.items():
                if mark in lines[next_number]:
                    chain.link = link
            next_number += 1
        if next_number < len(lines) and TRACEBACK in lines[next_number] and "╭" in lines[next_number]:
            number = next_number
    return number


def _is_broken(line: str) -> bool:
    """Tell whether rich may have broken a line here, at the terminal's width of 80 or more."""
    return len(line) >= 70 or is_generic(line)


def _read_notebook(chain: _Chain, lines: Sequence[str], start: int, name: str) -> int:
    number = start
    title: str | None = name
    while title is not None:
        exception = chain.begin()
        number += 1
        while number < len(lines) and not re.match(rf"(?:\w+\.)*{re.escape(title)}(?::|$)", lines[number]):
            if frame := _NOTEBOOK_FRAME.match(lines[number]):
                exception.frames.append(f"{frame[1]}:{frame[2]} in {frame[3]}" if frame[1] else f"cell:{frame[5]}")
            number += 1
        if number < len(lines):
            exception.text = _MODULE.sub("", lines[number])
        number += 1
        next_number = number
        title = None
        while next_number < min(len(lines), number + 5):
            for mark, link in _LINKS.items():
                if mark in lines[next_number]:
                    chain.link = link
            if TRACEBACK in lines[next_number] and (
                match := _NOTEBOOK.search(lines[next_number].partition(TRACEBACK)[0])
            ):
                title, number = match[1], next_number
                break
            next_number += 1
    return min(number, len(lines))
