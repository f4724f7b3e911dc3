"""Determine the cause of a failure: what failed in one line, a key to compare it by, and the texts behind both."""

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

_LEAVES = 12  # members of a group that one line names at most
_LEAST = 40  # characters below which a text is not cut further
_LONGEST_KEY = 20_000  # characters of a text that is compared
_ARROW = " <- "
_TYPES = re.compile(r"\b[\w.$]*(?:Exception|Error)\b")


@dataclass
class Cause:
    """The cause of a task's failure, its most informative parts first."""

    # The exceptions that say what happened: the raised one first and its causes behind it.
    chain: list[LoggedException] = field(default_factory=list[LoggedException])
    # Exceptions that say only that something failed, and so come last in the line.
    wrappers: list[LoggedException] = field(default_factory=list[LoggedException])
    # The error in the output of the command or the remote job, which then is the cause.
    output: OutputError | None = None

    def describe(self, size: int = 300) -> str:
        """Describe the cause in one line: `ValueError: bad <- KeyError: 'id'`, or an output's error and its wrapper."""
        suffixes = [_cut(_describe_wrapper(exception, self.output), 160) for exception in self.wrappers[:1]]
        if self.output is not None:
            return _fit(self._list_output_texts(), suffixes, size)
        texts = _remove_repeats([_write_exception(exception) for exception in self.chain]) or [
            describe_exception(exception) for exception in self.wrappers[:1]
        ]
        if not texts:
            return ""
        return _fit([_ARROW.join(_remove_middle(texts, size))], suffixes if self.chain else [], size)

    def _list_output_texts(self) -> list[str]:
        assert self.output is not None
        if self.output.tier is Tier.LAST_LINE:
            return [f"Last output: {self.output.root.text}", *self.output.more]
        chain = _remove_repeats([_write_exception(exception) for exception in unwrap_groups(self.output.chain)])
        if len(chain) > 1 and self.output.chain[1].link == "while handling":
            texts = [_ARROW.join(chain[:2])]
        else:
            texts = [chain[-1], *(f"led to {text}" for text in chain[-2::-1])]
        return [*texts, *(f"also {text}" for text in self.output.more[:2])]

    @property
    def key(self) -> str:
        """Text that is the same for failures of the same cause, whatever their data; at most 300 characters."""
        parts = [_make_key(exception) for exception in self.chain]
        if self.output is not None:
            parts += [_make_key(exception) for exception in self.output.chain]
            parts += sorted({normalise(text) for text in self.output.more})
        if not parts or self.output is not None:
            parts += [_make_wrapper_key(exception, self.output) for exception in self.wrappers]
        root = self.chain[-1] if self.chain else None
        place = root.place or self.chain[0].place if root else ""
        key = join_key([part for part in parts if part])
        return f"{key} @ {_shorten_frame(place)}"[:300] if place else key


def find_cause(chain: Sequence[LoggedException], output: OutputError | None) -> Cause:
    """Decide which of a failed task's exceptions and output say what happened.

    `output` counts only where no exception says it.
    """
    exceptions = unwrap_groups(_expand_nested(chain))
    informative = [exception for exception in exceptions if not is_silent(exception)]
    wrappers = [exception for exception in exceptions if is_silent(exception)]
    if informative and output is not None and all(map(find_wrapper, informative)) and _repeats(informative[0], output):
        return Cause([], informative, output)
    if informative:
        return Cause(informative, wrappers)
    return Cause([], wrappers, output)


def _repeats(wrapper: LoggedException, output: OutputError) -> bool:
    """Tell whether the output holds the text that a wrapper's message quotes, with the exception's type besides."""
    match = find_wrapper(wrapper)
    words = match[1].strip() if match else ""
    return output.tier > Tier.LAST_LINE and bool(words) and words.partition("\n")[0] in output.root.text


def read_cause(text: str) -> Cause:
    """Read the cause from an error's text: a traceback, such as an import error's, or a message."""
    chain = find_traceback(text)
    if chain:
        return find_cause(chain, None)
    lines = [line for line in text.splitlines() if line.strip()]
    unindented = [line for line in lines if line[:1] not in (" ", "\t")]
    if unindented and lines[0].lstrip().startswith("File "):  # a SyntaxError without its title
        return Cause([LoggedException(unindented[-1])])
    return Cause([LoggedException(text.strip())]) if lines else Cause()


def _expand_nested(chain: Sequence[LoggedException]) -> list[LoggedException]:
    """Put the exceptions of a traceback within a message behind the exception whose message holds it."""
    expanded: list[LoggedException] = []
    for exception in chain:
        nested = find_nested(exception)
        if nested:
            message = exception.text.partition("Traceback (most recent")[0].partition("\n\tat ")[0].strip()
            chain_texts = {member.text for member in chain}
            expanded.append(LoggedException(message, exception.frames, exception.link))
            expanded += [member for member in nested if member.text not in chain_texts]
        else:
            expanded.append(exception)
    return expanded


def _write_exception(exception: LoggedException) -> str:
    """Write an exception in one line, a group with its leaves."""
    if not exception.members:
        return describe_exception(exception)
    leaves = [_ARROW.join(describe_exception(member) for member in chain) for chain in iterate_leaves(exception)]
    hidden = len(leaves) - _LEAVES + exception.uncounted
    rest = f"; {hidden} more" if hidden > 0 else ""
    return f"{describe_exception(exception)} [{'; '.join(leaves[:_LEAVES])}{rest}]"


def _remove_repeats(texts: list[str]) -> list[str]:
    """Remove each text that only repeats its cause, as "ExecutionException: java.io.IOException: disk full" does."""
    informative = [text for text, cause in pairwise(texts) if not _only_repeats(text, cause.partition(": ")[2])]
    return [*informative, *texts[-1:]]


def _only_repeats(text: str, message: str) -> bool:
    """Tell whether a text says no more than a cause's message that it contains."""
    if not message:
        return True
    before, match, after = text.partition(message)
    return bool(match) and is_generic(_TYPES.sub("", f"{before} {after}"))


def _make_key(exception: LoggedException) -> str:
    """Return the key of one exception: all that its line says, and of a group every leaf."""
    text = describe_exception(exception, _LONGEST_KEY)
    key = normalise(make_safe(text), names=is_naming(exception.kind))
    members = sorted({" <- ".join(_make_key(member) for member in chain) for chain in iterate_leaves(exception)})
    return f"{key} [{'; '.join(members)}]" if members else key


def _describe_wrapper(exception: LoggedException, output: OutputError | None) -> str:
    """Describe a wrapper in one line, without the text that it quotes from an output that is described already."""
    match = find_wrapper(exception)
    if match is not None and match[1] and output is not None and _repeats(exception, output):
        return exception.text[: len(exception.text) - len(match[1])]
    return describe_exception(exception)


def _make_wrapper_key(exception: LoggedException, output: OutputError | None) -> str:
    """Return the key of a wrapper: its name where the output says what failed, since its words hold the command."""
    match = find_wrapper(exception)
    if match is not None and output is not None and output.tier > Tier.LAST_LINE:
        return f"[{match[0].operator}]"
    return _make_key(exception)


def _shorten_frame(frame: str) -> str:
    """Shorten "/opt/airflow/dags/etl.py:20 in transform" to "etl.py:transform"."""
    path, _, function = frame.partition(" in ")
    file, _, number = path.rpartition(":")
    return f"{(file if number.isdigit() else path).replace(chr(92), '/').rpartition('/')[2]}:{function or '<module>'}"


def _remove_middle(texts: list[str], size: int) -> list[str]:
    """Remove the middle of a chain that is too long; the raised exception and the root stay, if the root says more."""
    if len(texts) == 2 and sum(map(len, texts)) > size and len(_split_words(texts[1]) - _split_words(texts[0])) < 3:
        return [_cut(texts[0], size)]
    if len(texts) > 2 and sum(map(len, texts)) + len(_ARROW) * len(texts) > size:
        texts = [texts[0], f"({len(texts) - 2} more)", texts[-1]]
    if len(texts) > 1 and sum(map(len, texts)) + len(_ARROW) * len(texts) > size:
        budget = size - len(_ARROW) * (len(texts) - 1) - sum(map(len, texts[1:-1]))
        first_size = max(budget - len(texts[-1]), budget // 2)
        texts = [
            _cut(texts[0], first_size),
            *texts[1:-1],
            _cut(texts[-1], max(budget - min(first_size, len(texts[0])), _LEAST)),
        ]
    return texts


def _split_words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[^\W\d_]{3,}", text)}


def _fit(texts: list[str], behind: list[str], size: int) -> str:
    """Return the first text, and behind it as many others in brackets as fit; the first gets most of the size."""
    line = _cut(texts[0], size)
    for text in [*texts[1:], *behind]:
        budget = size - len(line) - 3
        if budget < _LEAST and len(text) > budget:
            break
        line = f"{line} [{_cut(text, budget)}]"
    return line


def _cut(text: str, size: int) -> str:
    """Shorten a text that is too long, keeping both its ends."""
    text = " ".join(make_safe(text).split())
    if len(text) <= size:
        return text
    end = max((size - 3) // 3, 0)
    return f"{text[: size - 3 - end]} … {text[len(text) - end :]}" if size > 20 else f"{text[: max(size - 1, 0)]}…"
