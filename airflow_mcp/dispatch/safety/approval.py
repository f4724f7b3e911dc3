"""What a human approves: one question with everything that is sent, or none.

Every argument stands on a line of its own, and so does every value inside of one, so that nothing is found only by
scrolling past something else. Characters that are not seen, marks that strike, enclose or stack over others, and blanks
in a row are shown as `\\u{202E}` and `\\u{20 x 500}`: a backslash of the value itself is shown twice, as in JSON, so
neither can be written by a caller.
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
from airflow_mcp.text import clean, escape, in_strings

QUESTION_SIZE = 8_000  # characters of one question: what a person can be expected to read before they answer
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANKS = re.compile(r" {2,}")
_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Me", "Zl", "Zp", "Zs"})  # Unicode's general categories
# Drawn as nothing or as a blank, though of other categories: fillers, joiners, variation selectors, empty Braille.
_OVERLAY = 1  # the combining class of marks that strike their base through (UAX #44, table 15)
_MOST_MARKS = 4  # on one base: Vietnamese has two, pointed Hebrew and Tibetan up to four; more hide other lines
_BLANK_LETTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

Digest = Callable[[str], str]  # six digits that stand for a secret, with a key that only servers have


@dataclass(frozen=True)
class Approval:
    """What a human is to approve."""

    head: str  # what would be done, to how many
    where: str  # by which tool, on which Airflow, for whom
    arguments: Json  # all that is sent
    masked: Json  # the same, as it may be shown
    is_whole: bool  # whether `masked` has all of it
    targets: Sequence[str]
    lost: str  # what cannot be undone; empty where nothing is known of it


def question(approval: Approval, digest: Digest) -> str:
    """The whole question.

    Raises NotAllowedError for one of more than 8,000 characters: nobody approves what they were not shown.
    """
    lines: list[str] = []
    room = QUESTION_SIZE
    if not approval.is_whole:
        raise _too_long(approval)
    for line in _lines(approval, digest):  # one after the other: what does not fit is not even written
        lines.append(line)
        room -= len(line) + 1
        if room < 0:
            raise _too_long(approval)
    return "\n".join(lines)


def _too_long(approval: Approval) -> NotAllowedError:
    return NotAllowedError(
        "Nothing was done, and nobody was asked: a human has to confirm this and is shown all of it, and that would be "
        f"more than {QUESTION_SIZE} characters ({len(approval.arguments)} arguments, {len(approval.targets)} objects). "
        "Send less in one call: fewer objects, or shorter arguments."
    )


def _lines(approval: Approval, digest: Digest) -> Iterator[str]:
    yield _visible(approval.head)
    yield _visible(approval.where)
    if approval.arguments:
        yield "With:"
    for name, value in approval.arguments.items():
        for path, text in _leaves(name, value, approval.masked.get(name), digest):
            yield f"- {path}={text}"
    if approval.targets:
        yield "Affected:"
    for target in approval.targets:
        seen = clean(target)
        masked = redact_text(seen)
        yield f"- {_visible(target if masked == seen else masked)}"
    if approval.lost:
        yield approval.lost


def _leaves(path: str, value: Any, masked: Any, digest: Digest) -> Iterator[tuple[str, str]]:
    """Every value inside of one, by its path and in the order of keys: a call that says the same reads the same."""
    if isinstance(value, dict) and value:
        for key, item, hidden in sorted(_entries(value, masked), key=lambda entry: entry[0]):
            yield from _leaves(f"{path}.{_key(key, digest)}", item, hidden, digest)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            hidden = masked[number] if isinstance(masked, list) and len(masked) == len(value) else MASK
            yield from _leaves(f"{path}[{number}]", item, hidden, digest)
    else:
        yield path, _leaf(value, masked, digest)


def _entries(value: Json, masked: Any) -> Iterator[tuple[str, Any, Any]]:
    """Keys and values beside what may be shown of them; keys that masking makes alike are masked one by one."""
    if isinstance(masked, dict) and len(masked) == len(value):
        for (key, item), hidden in zip(value.items(), masked.values(), strict=True):
            yield key, item, hidden
        return
    for key, item in value.items():
        (hidden,) = redact(in_strings({key: item}, clean)).values() if isinstance(masked, dict) else (MASK,)
        yield key, item, hidden


def _key(key: str, digest: Digest) -> str:
    shown = redact_text(clean(key))
    if shown != clean(key):
        return f"{_visible(shown)}({_secret(key, digest)})"
    return key if _PLAIN_KEY.fullmatch(key) else _literal(key)


def _leaf(value: Any, masked: Any, digest: Digest) -> str:
    if masked in (in_strings(value, clean), in_strings(value, escape)):  # an id is shown with every character seen
        return _literal(value)
    shown = masked if isinstance(masked, str) else MASK
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{shown if shown == MASK else _literal(shown)} ({_secret(text, digest)})"


def _secret(text: str, digest: Digest) -> str:
    return f"{len(text)} characters, digest {digest(text)}"


def _literal(value: Any) -> str:
    """JSON, with what is not seen made visible."""
    return _visible(json.dumps(value, ensure_ascii=False))


def _visible(text: str) -> str:
    """The text in one line, without a character that is not seen and without blanks in a row."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text
    text = "".join(f"\\u{{{ord(char):X}}}" if hidden else char for char, hidden in _hidden_of(text))
    return _BLANKS.sub(lambda match: f"\\u{{20 x {len(match[0])}}}", text)


def _hidden_of(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it is written out: for itself, or as a mark without a letter or digit to stand on."""
    marks = _MOST_MARKS  # that the character before has
    for char in text:
        category = unicodedata.category(char)
        if category == "Mn":
            hidden = marks >= _MOST_MARKS or unicodedata.combining(char) == _OVERLAY or _is_hidden(char)
            marks += 1
        else:
            hidden = _is_hidden(char)
            marks = 0 if category[0] in "LN" or category == "Mc" else _MOST_MARKS
        yield char, hidden


def _is_hidden(char: str) -> bool:
    return char != " " and (unicodedata.category(char) in _HIDDEN or _BLANK_LETTERS.match(char) is not None)
