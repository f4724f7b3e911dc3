"""Represent exceptions as a log reports them: type and message, frames, causes, and the members of a group."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

ChainLink: TypeAlias = Literal["caused by", "while handling"]
_LIBRARY = ("/site-packages/", "/dist-packages/", "/lib/python3", "<frozen ")
_FRAMES = 40  # frames kept of one exception, the innermost
MOST_MEMBERS = 50  # members kept of a group
MOST_LINKS = 12  # exceptions kept of a chain
_DEEPEST = 12  # levels of nested groups that are read
_TYPE = re.compile(r"(?:[\w$]+\.)*([A-Za-z_][\w$]*)(?: ?\[\w+\])?(?::|\s*$)")


@dataclass
class LoggedException:
    """One exception as logged; its notes (PEP 678) are further lines of `text`."""

    # "Type: message", or a tool's own line where a program has no exceptions.
    text: str = ""
    # "file:line in function", outermost first.
    frames: deque[str] = field(default_factory=lambda: deque[str](maxlen=_FRAMES))
    # How it stands to the exception before it in its chain, which it led to.
    link: ChainLink = "caused by"
    # Of an exception group (PEP 654): each is a chain of its own.
    members: list[list[LoggedException]] = field(default_factory=list["list[LoggedException]"])
    # Members that the log only counts.
    uncounted: int = 0

    @property
    def kind(self) -> str:
        """The exception's type without its module; empty for a tool's line."""
        match = _TYPE.match(self.text)
        return match[1] if match else ""

    @property
    def message(self) -> str:
        """The text that follows the type."""
        return self.text.partition(":")[2].strip(" ")

    @property
    def place(self) -> str:
        """The innermost frame, the DAG's own before a library's; empty without frames."""
        chosen = select_dag_frames(self.frames)
        return chosen[-1] if chosen else ""


def select_dag_frames(frames: Sequence[str]) -> list[str]:
    """Return the frames outside of libraries, or all frames where there are none."""
    return [frame for frame in frames if is_dag_frame(frame)] or list(frames)


def is_dag_frame(frame: str) -> bool:
    """Tell whether a frame is in the DAG's own code."""
    return not any(part in frame for part in _LIBRARY)


def shorten_path(frame: str) -> str:
    """Shorten a frame's path to what lies within site-packages."""
    before, found, after = frame.rpartition("-packages/")
    return f"…/{after}" if found and before.endswith(("/site", "/dist")) else frame


def unwrap_groups(chain: Sequence[LoggedException]) -> list[LoggedException]:
    """Replace every group of one member by that member, which says all that the group says."""
    exceptions: list[LoggedException] = []
    for exception in chain:
        if len(exception.members) == 1 and not exception.uncounted:
            member = unwrap_groups(exception.members[0])
            if member:
                member[0].link = exception.link
            exceptions += member
        else:
            exceptions.append(exception)
    return exceptions


def iterate_leaves(exception: LoggedException) -> Iterator[list[LoggedException]]:
    """Yield the chains of a group's members, including those of nested groups; nothing for an exception without."""
    for chain in exception.members:
        if chain and chain[0].members:
            yield from iterate_leaves(chain[0])
        elif chain:
            yield chain


def iterate_members(chain: Sequence[LoggedException]) -> Iterator[LoggedException]:
    """Yield every exception of a chain, and behind a group those of its leaves."""
    for exception in chain:
        yield exception
        for member in iterate_leaves(exception):
            yield from iterate_members(member)


def read_error_detail(details: Any, depth: int = 0) -> list[LoggedException]:
    """Read `error_detail` of Airflow 3 (structlog's ExceptionDictTransformer), the raised exception first."""
    chain = _read_dicts(details)
    items = [*chain[: MOST_LINKS - 1], *chain[MOST_LINKS - 1 :][-1:]]  # the root is the last
    return [_read_exception(item, depth) for item in items]


def _read_exception(detail: dict[str, Any], depth: int) -> LoggedException:
    kind, value = str(detail.get("exc_type") or "Exception"), str(detail.get("exc_value") or "")
    exception = LoggedException(
        "\n".join([f"{kind}: {value}" if value else kind, *_read_texts(detail.get("exc_notes"))])
    )
    exception.link = "caused by" if detail.get("is_cause", True) else "while handling"
    for frame in _read_dicts(detail.get("frames")):
        exception.frames.append(f"{frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}")
    if isinstance(syntax_error := detail.get("syntax_error"), dict):
        exception.frames.append(f"{syntax_error.get('filename')}:{syntax_error.get('lineno')}")
    if depth < _DEEPEST:
        groups = _read_list(detail.get("exceptions"))
        members = (read_error_detail(chain, depth + 1) for chain in groups[:MOST_MEMBERS])
        exception.members = [member for member in members if member]
        exception.uncounted = max(len(groups) - MOST_MEMBERS, 0)
    return exception


def _read_texts(value: Any) -> list[str]:
    return [str(item) for item in _read_list(value)]


def _read_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in _read_list(value) if isinstance(item, dict)]
