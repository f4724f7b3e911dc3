"""Make text from Airflow safe to show: without control, ANSI, zero-width, bidi or tag characters.

Such characters hide instructions from a person while a model reads them, or repaint a terminal. Running text loses them
(`clean`; newlines and tabs stay). An id keeps them, since it must be recognised when a caller gives it back: they are
written as `\\u{202E}` (`escape`), and read back (`unescape`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]")
# Unicode's categories Cc (without tab and newline), Cf, Co, Cs, Zl and Zp, its Default_Ignorable_Code_Points
# (DerivedCoreProperties.txt, Unicode 16), its noncharacters, and the Braille cell without dots.
_HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0, delete, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # soft hyphen, joiners, fillers
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2"  # signs that span the digits after them
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb"  # zero width, lines, bidi, invisible
    "\ufe00-\ufe0f"  # variation selectors
    "\ud800-\udfff"  # halves of a surrogate pair, which UTF-8 cannot carry
    "\ue000-\uf8ff\U000f0000-\U0010ffff"  # private use: each font shows something else
    "\ufdd0-\ufdef\ufffe\uffff"  # noncharacters
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xF0000, 0x10000))
    + "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"  # tag characters and the supplementary variation selectors
)
_UNSEEN = re.compile(f"[{_HIDDEN}]")
# In an id a tab, a newline and the spaces that look like the plain one are invisible too (category Zs).
_UNSEEN_IN_ID = re.compile(f"[{_HIDDEN}\t\n\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]|\\\\(?=u\\{{)")
_UNSEEN_IN_SENTENCE = re.compile(f"[{_HIDDEN}]|\\\\(?=u\\{{)")
_ESCAPED = re.compile(r"\\u\{([0-9A-Fa-f]{1,6})\}")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """Return the text without invisible characters; carriage returns before newlines go as well."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub("", _ANSI.sub("", text))


class EscapedId(str):
    """An id that is escaped already, and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> str:
    """Write an id so that each character of it is visible; a backslash before `u{` is written as `\\u{5C}`."""
    return text if isinstance(text, EscapedId) else EscapedId(_UNSEEN_IN_ID.sub(_escape_match, text))


def escape_in_sentence(text: str) -> str:
    """Escape the ids in a sentence of this server, as `escape` does; the sentence's newlines and spaces stay."""
    return text if isinstance(text, EscapedId) else _UNSEEN_IN_SENTENCE.sub(_escape_match, text)


def escape_unseen(text: str) -> str:
    """Escape the invisible characters of text by others; its backslashes stay too, since nothing reads it back."""
    return _UNSEEN.sub(_escape_match, text)


def unescape(text: str) -> str:
    """Read an id that `escape` wrote; anything that is not such an escape stays unchanged."""
    return _ESCAPED.sub(_unescape_match, text) if "\\u{" in text else text


def find_unsendable(text: str) -> str:
    """Return the first character that no request can carry, as `escape` writes it, or "".

    That is half a surrogate pair, which UTF-8 does not have (RFC 3629, 3), or NUL, which PostgreSQL, where Airflow
    stores texts, does not take.
    """
    match = _UNSENDABLE.search(text)
    return _escape_match(match) if match else ""


def _escape_match(match: re.Match[str]) -> str:
    return f"\\u{{{ord(match[0]):X}}}"


def _unescape_match(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if code <= 0x10FFFF else match[0]


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Return the JSON value with `change` applied to every string in it, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): map_strings(item, change) for key, item in value.items()}
    return value


def shorten(text: str, size: int, *, keep_end: bool = False) -> str:
    """Cut the text to at most `size` characters, its start or with `keep_end` its end, with "…" at the cut."""
    if len(text) <= size:
        return text
    if size < 1:
        return ""
    return f"…{text[len(text) - size + 1 :]}" if keep_end else f"{text[: size - 1]}…"


def join_names(names: Iterable[str], limit: int, separator: str = ", ") -> str:
    """Join at most `limit` names, and say how many more there are: "a, b and 3 more"."""
    listed = list(names)
    rest = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return separator.join(listed[:limit]) + rest
