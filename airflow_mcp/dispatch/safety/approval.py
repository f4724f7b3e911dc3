"""The question that a human approves: it has everything that is sent, or nothing is asked.

Every argument, and every value inside one, has a line of its own, so that nothing is found only by scrolling past
something else. Invisible characters, marks that strike, enclose or stack over others, and repeated blanks are written
as `\\u{202E}` and `\\u{20 x 500}`: a backslash of the value itself is written twice, as in JSON, so that no caller can
write such an escape.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.redact import MASK, redact, redact_text
from airflow_mcp.text import clean, escape, map_strings

QUESTION_SIZE = 8_000  # characters of one question: a person can be expected to read these before answering
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANKS = re.compile(r" {2,}")
_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Me", "Zl", "Zp", "Zs"})  # Unicode's general categories
_OVERLAY = 1  # the combining class of marks that strike their base through (UAX #44, table 15)
_MOST_MARKS = 4  # on one base: Vietnamese has two, pointed Hebrew and Tibetan up to four; more would cover other lines
# Drawn as nothing or as a blank, though of other categories: fillers, joiners, variation selectors, empty Braille.
_BLANK_LETTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

Digest = Callable[[str], str]  # six digits that stand for a secret, made with a key that only servers have


@dataclass(frozen=True)
class Approval:
    """The content of an approval question."""

    head: str  # what would be done, to how many objects
    where: str  # by which tool, on which Airflow, for whom
    arguments: Json  # everything that is sent
    masked: Json  # the same arguments as they may be shown
    is_whole: bool  # whether `masked` has all arguments in full
    targets: Sequence[str]
    lost: str  # what cannot be undone; empty where that is not known


def write_question(approval: Approval, digest: Digest) -> str:
    """Return the whole question.

    Raises NotAllowedError for one of more than 8,000 characters: nobody can approve what was not displayed.
    """
    lines: list[str] = []
    remaining_size = QUESTION_SIZE
    if not approval.is_whole:
        raise _too_long(approval)
    for line in _write_lines(approval, digest):  # lazily: lines past the limit are not even written
        lines.append(line)
        remaining_size -= len(line) + 1
        if remaining_size < 0:
            raise _too_long(approval)
    return "\n".join(lines)


def _too_long(approval: Approval) -> NotAllowedError:
    return NotAllowedError(
        "Nothing was done, and nobody was asked: a human has to confirm this and is shown all of it, and that would be "
        f"more than {QUESTION_SIZE} characters ({len(approval.arguments)} arguments, {len(approval.targets)} objects). "
        "Send less in one call: fewer objects, or shorter arguments."
    )


def _write_lines(approval: Approval, digest: Digest) -> Iterator[str]:
    yield _make_visible(approval.head)
    yield _make_visible(approval.where)
    if approval.arguments:
        yield "With:"
    for name, value in approval.arguments.items():
        for path, text in _walk_leaves(name, value, approval.masked.get(name), digest):
            yield f"- {path}={text}"
    if approval.targets:
        yield "Affected:"
    for target in approval.targets:
        clean_target = clean(target)
        masked_target = redact_text(clean_target)
        yield f"- {_make_visible(target if masked_target == clean_target else masked_target)}"
    if approval.lost:
        yield approval.lost


def _walk_leaves(path: str, value: Any, masked: Any, digest: Digest) -> Iterator[tuple[str, str]]:
    """Yield every leaf of a value with its path; keys are sorted, so that equal calls give equal text."""
    if isinstance(value, dict) and value:
        for key, item, masked_item in sorted(_pair_entries(value, masked), key=lambda entry: entry[0]):
            yield from _walk_leaves(f"{path}.{_write_key(key, digest)}", item, masked_item, digest)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            masked_item = masked[number] if isinstance(masked, list) and len(masked) == len(value) else MASK
            yield from _walk_leaves(f"{path}[{number}]", item, masked_item, digest)
    else:
        yield path, _write_leaf(value, masked, digest)


def _pair_entries(value: Json, masked: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key and value with its masked value; where masking makes keys equal, each is masked separately."""
    if isinstance(masked, dict) and len(masked) == len(value):
        for (key, item), masked_item in zip(value.items(), masked.values(), strict=True):
            yield key, item, masked_item
        return
    for key, item in value.items():
        (masked_item,) = redact(map_strings({key: item}, clean)).values() if isinstance(masked, dict) else (MASK,)
        yield key, item, masked_item


def _write_key(key: str, digest: Digest) -> str:
    masked_key = redact_text(clean(key))
    if masked_key != clean(key):
        return f"{_make_visible(masked_key)}({_write_secret(key, digest)})"
    return key if _PLAIN_KEY.fullmatch(key) else _write_literal(key)


def _write_leaf(value: Any, masked: Any, digest: Digest) -> str:
    if masked in (map_strings(value, clean), map_strings(value, escape)):  # an id is escaped, not masked
        return _write_literal(value)
    masked_text = masked if isinstance(masked, str) else MASK
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{masked_text if masked_text == MASK else _write_literal(masked_text)} ({_write_secret(text, digest)})"


def _write_secret(text: str, digest: Digest) -> str:
    return f"{len(text)} characters, digest {digest(text)}"


def _write_literal(value: Any) -> str:
    """Return a value as JSON, with invisible characters escaped."""
    return _make_visible(json.dumps(value, ensure_ascii=False))


def _make_visible(text: str) -> str:
    """Return the text in one line, with invisible characters and repeated blanks escaped."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text
    text = "".join(f"\\u{{{ord(char):X}}}" if is_escaped else char for char, is_escaped in _find_hidden(text))
    return _BLANKS.sub(lambda match: f"\\u{{20 x {len(match[0])}}}", text)


def _find_hidden(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each character and whether to escape it: for itself, or as a mark without a letter or digit to stand on."""
    marks = _MOST_MARKS  # on the preceding character
    for char in text:
        category = unicodedata.category(char)
        if category == "Mn":
            is_escaped = marks >= _MOST_MARKS or unicodedata.combining(char) == _OVERLAY or _is_hidden(char)
            marks += 1
        else:
            is_escaped = _is_hidden(char)
            marks = 0 if category[0] in "LN" or category == "Mc" else _MOST_MARKS
        yield char, is_escaped


def _is_hidden(char: str) -> bool:
    return char != " " and (unicodedata.category(char) in _HIDDEN or _BLANK_LETTERS.match(char) is not None)
