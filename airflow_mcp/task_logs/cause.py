"""The cause of a failure: what failed in one line, a key to compare it by, and the texts it was made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from airflow_mcp.task_logs.exception_chain import LoggedException, iterate_leaves, unwrap_groups
from airflow_mcp.task_logs.generic_errors import is_generic
from airflow_mcp.task_logs.message import describe_exception, find_nested
from airflow_mcp.task_logs.output_errors import OutputError, Tier
from airflow_mcp.task_logs.python_traceback import find_traceback
from airflow_mcp.task_logs.records import make_safe
from airflow_mcp.task_logs.signature import is_naming, join_key, normalise
from airflow_mcp.task_logs.wrappers import find_wrapper, is_silent

_LEAVES = 12  # of a group that are named in one line, room permitting
_LEAST = 40  # characters below which a text is not cut further
_LONGEST_KEY = 20_000  # characters of a text that is compared
_ARROW = " <- "
_TYPES = re.compile(r"\b[\w.$]*(?:Exception|Error)\b")


@dataclass
class Cause:
    """What made a task fail, the most telling first."""

    # The exceptions that say what happened: the raised one first and its causes behind it.
    chain: list[LoggedException] = field(default_factory=list[LoggedException])
    # Exceptions that say only that something failed, and so stand behind in the line.
    wrappers: list[LoggedException] = field(default_factory=list[LoggedException])
    # The error in the output of the command or the remote job, which then is the cause.
    output: OutputError | None = None

    def describe(self, size: int = 300) -> str:
        """Say the cause in one line: `ValueError: bad <- KeyError: 'id'`, or an output's error and what wraps it."""
        behind = [_cut(_describe_wrapper(one, self.output), 160) for one in self.wrappers[:1]]
        if self.output is not None:
            return _fit(self._list_output_texts(), behind, size)
        texts = _remove_repeats([_write_exception(one) for one in self.chain]) or [
            describe_exception(one) for one in self.wrappers[:1]
        ]
        if not texts:
            return ""
        return _fit([_ARROW.join(_remove_middle(texts, size))], behind if self.chain else [], size)

    def _list_output_texts(self) -> list[str]:
        assert self.output is not None
        if self.output.tier is Tier.LAST_LINE:
            return [f"Last output: {self.output.root.text}", *self.output.more]
        chain = _remove_repeats([_write_exception(one) for one in unwrap_groups(self.output.chain)])
        if len(chain) > 1 and self.output.chain[1].link == "while handling":
            texts = [_ARROW.join(chain[:2])]
        else:
            texts = [chain[-1], *(f"led to {text}" for text in chain[-2::-1])]
        return [*texts, *(f"also {text}" for text in self.output.more[:2])]

    @property
    def key(self) -> str:
        """What is the same for failures of the same cause, whatever their data; at most 300 characters."""
        parts = [_make_key(one) for one in self.chain]
        if self.output is not None:
            parts += [_make_key(one) for one in self.output.chain]
            parts += sorted({normalise(text) for text in self.output.more})
        if not parts or self.output is not None:
            parts += [_make_wrapper_key(one, self.output) for one in self.wrappers]
        root = self.chain[-1] if self.chain else None
        place = root.place or self.chain[0].place if root else ""
        key = join_key([part for part in parts if part])
        return f"{key} @ {_shorten_frame(place)}"[:300] if place else key


def find_cause(chain: Sequence[LoggedException], output: OutputError | None) -> Cause:
    """Decide what of a failed task's exceptions and output says what happened.

    `output` counts only where no exception says it.
    """
    flat = unwrap_groups(_expand_nested(chain))
    telling = [one for one in flat if not is_silent(one)]
    wrappers = [one for one in flat if is_silent(one)]
    if telling and output is not None and all(map(find_wrapper, telling)) and _repeats(telling[0], output):
        return Cause([], telling, output)
    if telling:
        return Cause(telling, wrappers)
    return Cause([], wrappers, output)


def _repeats(wrapper: LoggedException, output: OutputError) -> bool:
    """Whether the output says what a wrapper's message hands on of it, with the exception's type besides."""
    found = find_wrapper(wrapper)
    words = found[1].strip() if found else ""
    return output.tier > Tier.LAST_LINE and bool(words) and words.partition("\n")[0] in output.root.text


def read_cause(text: str) -> Cause:
    """Read the cause in an error's text: a traceback, such as an import error's, or a message."""
    chain = find_traceback(text)
    if chain:
        return find_cause(chain, None)
    lines = [line for line in text.splitlines() if line.strip()]
    outer = [line for line in lines if line[:1] not in (" ", "\t")]
    if outer and lines[0].lstrip().startswith("File "):  # a SyntaxError without its title
        return Cause([LoggedException(outer[-1])])
    return Cause([LoggedException(text.strip())]) if lines else Cause()


def _expand_nested(chain: Sequence[LoggedException]) -> list[LoggedException]:
    """Put the exceptions that a message holds as a printed traceback behind the one that only hands them on."""
    whole: list[LoggedException] = []
    for exception in chain:
        nested = find_nested(exception)
        if nested:
            words = exception.text.partition("Traceback (most recent")[0].partition("\n\tat ")[0].strip()
            known = {one.text for one in chain}
            whole.append(LoggedException(words, exception.frames, exception.link))
            whole += [one for one in nested if one.text not in known]
        else:
            whole.append(exception)
    return whole


def _write_exception(exception: LoggedException) -> str:
    """Say an exception in one line, a group with its leaves."""
    if not exception.members:
        return describe_exception(exception)
    said = [_ARROW.join(describe_exception(one) for one in chain) for chain in iterate_leaves(exception)]
    more = len(said) - _LEAVES + exception.uncounted
    rest = f"; {more} more" if more > 0 else ""
    return f"{describe_exception(exception)} [{'; '.join(said[:_LEAVES])}{rest}]"


def _remove_repeats(texts: list[str]) -> list[str]:
    """Leave out what only repeats its cause, as "ExecutionException: java.io.IOException: disk full" does."""
    kept = [text for text, cause in pairwise(texts) if not _only_repeats(text, cause.partition(": ")[2])]
    return [*kept, *texts[-1:]]


def _only_repeats(text: str, message: str) -> bool:
    """Whether a text says no more than a cause's message that it holds."""
    if not message:
        return True
    before, found, after = text.partition(message)
    return bool(found) and is_generic(_TYPES.sub("", f"{before} {after}"))


def _make_key(exception: LoggedException) -> str:
    """Return the key of one exception: all that its line says, and of a group every leaf."""
    said = describe_exception(exception, _LONGEST_KEY)
    key = normalise(make_safe(said), names=is_naming(exception.kind))
    members = sorted({" <- ".join(_make_key(one) for one in chain) for chain in iterate_leaves(exception)})
    return f"{key} [{'; '.join(members)}]" if members else key


def _describe_wrapper(exception: LoggedException, output: OutputError | None) -> str:
    """Say a wrapper in one line, without what it only hands on of the output that is told already."""
    found = find_wrapper(exception)
    if found is not None and found[1] and output is not None and _repeats(exception, output):
        return exception.text[: len(exception.text) - len(found[1])]
    return describe_exception(exception)


def _make_wrapper_key(exception: LoggedException, output: OutputError | None) -> str:
    """Return the key of a wrapper: its name where the output says what failed, since its words hold the command."""
    found = find_wrapper(exception)
    if found is not None and output is not None and output.tier > Tier.LAST_LINE:
        return f"[{found[0].operator}]"
    return _make_key(exception)


def _shorten_frame(frame: str) -> str:
    """Shorten "/opt/airflow/dags/etl.py:20 in transform" to "etl.py:transform"."""
    path, _, function = frame.partition(" in ")
    file, _, number = path.rpartition(":")
    return f"{(file if number.isdigit() else path).replace(chr(92), '/').rpartition('/')[2]}:{function or '<module>'}"


def _remove_middle(texts: list[str], size: int) -> list[str]:
    """Leave out the middle of a chain that is too long: the raised one and the root stay, if it says more."""
    if len(texts) == 2 and sum(map(len, texts)) > size and len(_split_words(texts[1]) - _split_words(texts[0])) < 3:
        return [_cut(texts[0], size)]
    if len(texts) > 2 and sum(map(len, texts)) + len(_ARROW) * len(texts) > size:
        texts = [texts[0], f"({len(texts) - 2} more)", texts[-1]]
    if len(texts) > 1 and sum(map(len, texts)) + len(_ARROW) * len(texts) > size:
        room = size - len(_ARROW) * (len(texts) - 1) - sum(map(len, texts[1:-1]))
        first = max(room - len(texts[-1]), room // 2)
        texts = [_cut(texts[0], first), *texts[1:-1], _cut(texts[-1], max(room - min(first, len(texts[0])), _LEAST))]
    return texts


def _split_words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[^\W\d_]{3,}", text)}


def _fit(texts: list[str], behind: list[str], size: int) -> str:
    """The texts in brackets behind the first, as many as fit: the first keeps most of the room."""
    line = _cut(texts[0], size)
    for text in [*texts[1:], *behind]:
        room = size - len(line) - 3
        if room < _LEAST and len(text) > room:
            break
        line = f"{line} [{_cut(text, room)}]"
    return line


def _cut(text: str, size: int) -> str:
    """Keep both ends of a text that is too long."""
    text = " ".join(make_safe(text).split())
    if len(text) <= size:
        return text
    end = max((size - 3) // 3, 0)
    return f"{text[: size - 3 - end]} … {text[len(text) - end :]}" if size > 20 else f"{text[: max(size - 1, 0)]}…"
