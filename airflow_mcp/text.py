"""Text that others wrote into Airflow, made safe to show: no control, ANSI, zero-width, bidi or tag characters.

Such characters hide instructions from a person while a model reads them, or repaint a terminal. Newlines and tabs stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]")
_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, delete, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # soft hyphen, joiners, fillers
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"  # zero width, bidi, invisible operators
    "\ud800-\udfff"  # halves of a surrogate pair, which UTF-8 cannot carry
    "\U000e0000-\U000e0fff"  # tag characters and the supplementary variation selectors
    "]"
)


def clean(text: str) -> str:
    """The same text without the characters that are not seen; carriage returns before newlines go as well."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub("", _ANSI.sub("", text))


def in_strings(value: Any, change: Callable[[str], str]) -> Any:
    """The same JSON value with `change` applied to every string in it, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [in_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): in_strings(item, change) for key, item in value.items()}
    return value


def shorten(text: str, size: int, *, keep_end: bool = False) -> str:
    """At most `size` characters of the text, its start (or its end), with "…" where it was cut."""
    if len(text) <= size:
        return text
    if size < 1:
        return ""
    return f"…{text[len(text) - size + 1 :]}" if keep_end else f"{text[: size - 1]}…"
