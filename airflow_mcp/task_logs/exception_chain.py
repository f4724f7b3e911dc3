"""Exceptions as logs tell them: chains read from 3.x's error_detail or a printed traceback, and put in few words."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

TRACEBACK = "Traceback (most recent call last)"
_FRAME = re.compile(r'\s*File "(.+?)", line (\d+)(?:, in (.+))?')
_CHAINED = {
    "direct cause of the following exception": "caused by",
    "another exception occurred": "while handling",
}
_LIBRARY = ("/site-packages/", "/dist-packages/", "/lib/python3", "<frozen ")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: .*|:)?$", re.DOTALL)
_GROUP = re.compile(r"^\s*(?:[|+] ?)+(?:Exception Group )?")
_MODULE = re.compile(r"^(?:\w+\.)+(?=[A-Z]\w*(?::|$))")  # before an exception's type; 3.x does not name it
_FRAMES = 40  # of one exception that are kept, the innermost
_PARTS = 5  # exceptions of a group that are told
_CHAIN = 12  # exceptions of a chain that are kept
_LONG_WHAT = 8_000  # characters of a message from which on no more lines are added; none is cut


@dataclass
class LoggedException:
    """One exception: "Type: message", its frames outermost first as "file:line in function", and its notes.

    `link` says how it stands to the exception before it in its chain, which it led to.
    """

    what: str = ""
    frames: deque[str] = field(default_factory=lambda: deque[str](maxlen=_FRAMES))
    link: str = "caused by"
    parts: list[str] = field(default_factory=list[str])  # of an exception group: "Type: message" of its first ones

    @property
    def kind(self) -> str:
        """The exception's type without its module."""
        return self.what.partition(":")[0].rpartition(".")[2]

    @property
    def place(self) -> str:
        """The innermost frame, the DAG's own before a library's; empty without frames."""
        chosen = dag_frames(self.frames)
        return chosen[-1] if chosen else ""


def dag_frames(frames: deque[str]) -> list[str]:
    """The frames outside of libraries, or all where there are no such."""
    return [frame for frame in frames if is_dag_frame(frame)] or list(frames)


def is_dag_frame(frame: str) -> bool:
    """Whether a frame is in the DAG's own code."""
    return not any(part in frame for part in _LIBRARY)


def short_path(frame: str) -> str:
    """A frame without where an environment has its libraries."""
    before, found, after = frame.rpartition("-packages/")
    return f"…/{after}" if found and before.endswith(("/site", "/dist")) else frame


def read_error_detail(details: Any) -> list[LoggedException]:
    """The chain in `error_detail` of 3.x (structlog's tracebacks), the raised exception first."""
    chain = _dicts(details)
    return [_from_detail(item) for item in [*chain[: _CHAIN - 1], *chain[_CHAIN - 1 :][-1:]]]  # the root is the last


def _from_detail(detail: dict[str, Any]) -> LoggedException:
    failure = LoggedException(_what(detail))
    failure.link = "caused by" if detail.get("is_cause", True) else "while handling"
    for frame in _dicts(detail.get("frames")):
        failure.frames.append(f"{frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}")
    if isinstance(broken := detail.get("syntax_error"), dict):
        failure.frames.append(f"{broken.get('filename')}:{broken.get('lineno')}")
    failure.what = "\n".join([failure.what, *map(str, _list(detail.get("exc_notes")))])
    for inner in _list(detail.get("exceptions"))[:_PARTS]:  # of a group: each is a chain of its own
        failure.parts += map(_what, _dicts(inner)[:1])
    return failure


def _what(detail: dict[str, Any]) -> str:
    kind, value = str(detail.get("exc_type") or "Exception"), str(detail.get("exc_value") or "")
    return f"{kind}: {value}" if value else kind


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


class TracebackParser:
    """A traceback as Python prints it, fed line by line from its first one ("Traceback (most recent call last):").

    Something may stand before every line ("[base] ", a tab): what stands before the first is taken off the others.
    """

    def __init__(self) -> None:
        self.chain: list[LoggedException] = []  # as printed: the raised one last
        self._now: LoggedException | None = None
        self._link = "caused by"
        self._before = ""
        self._in_group = False

    def take(self, line: str, *, more: bool) -> bool:
        """Whether the line belongs to it. `more`: a line behind the exception is more of its message."""
        if TRACEBACK in line:
            self._begin(line)
            return True
        line = self._bare(line)
        if self._now is None or self._now.what:
            for mark, link in _CHAINED.items():
                if mark in line:
                    self._now, self._link = None, link
                    return True
        if self._now is None:
            return not line.strip()
        return self._inside(self._now, line, more)

    def _begin(self, line: str) -> None:
        self._in_group = self._in_group or "Exception Group" in line
        if self._in_group and self.chain and self._now is not None and self._now.what:
            return  # the traceback of one of its exceptions
        if not self.chain:
            self._before = line[: line.index(TRACEBACK)] if not self._in_group else ""
        self._now = LoggedException(link=self._link)
        self.chain.append(self._now)
        if len(self.chain) > _CHAIN:
            del self.chain[1]  # the root stays, and the last ones

    def _bare(self, line: str) -> str:
        if self._in_group:
            return _GROUP.sub("", line)
        return line[len(self._before) :] if self._before and line.startswith(self._before) else line

    def _inside(self, now: LoggedException, line: str, more: bool) -> bool:
        frame = _FRAME.match(line)
        if not now.what:
            if frame:
                now.frames.append(f"{frame[1]}:{frame[2]} in {frame[3]}" if frame[3] else f"{frame[1]}:{frame[2]}")
                return True
            if line[:1] in ("", " ", "\t"):
                return True
            if not more and not _EXCEPTION.match(line):
                return False
            now.what = _MODULE.sub("", line)
            return True
        if self._in_group:
            if not frame and line[:1] not in ("", " ", "\t", "-") and len(now.parts) < _PARTS:
                now.parts.append(line)
            return True
        if frame or not line.strip():
            return more or not line.strip()
        if more and len(now.what) < _LONG_WHAT:
            now.what += f"\n{line}"
        return more

    def result(self) -> list[LoggedException]:
        """The chain, the raised exception first."""
        chain = [failure for failure in reversed(self.chain) if failure.what]
        links = [failure.link for failure in chain]
        for failure, link in zip(chain[1:], links, strict=False):
            failure.link = link  # printed, the words stand above the exception that came of it
        return chain


def read_traceback(text: str) -> list[LoggedException]:
    """The chain in a text that holds a printed traceback, the raised exception first; empty without one."""
    _, found, rest = text.partition(TRACEBACK)
    if not found:
        return []
    printed = TracebackParser()
    for line in f"{found}{rest}".split("\n"):
        printed.take(line, more=True)
    return printed.result()
