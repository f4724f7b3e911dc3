"""Excerpt and make safe the part of a value that an answer can show; the work grows with the excerpt, not the value.

A text is cut before it is made safe, with a margin beyond what will be shown: a secret that the cut runs through is
still recognised, or lies in the margin that is then dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

from airflow_mcp.redact import redact_text
from airflow_mcp.text import EscapedId, clean, escape

_MARGIN = 4096  # characters: longer than the keys and tokens that are recognised by their form
_DEEPEST = 60  # nested containers; the parsers of an answer, this server's and its client's, stop at some hundred
_NAMES = ("name", "key")  # fields of an object that decide whether its other fields are secrets
_NAME_SIZE = 200  # characters
ANY_SIZE = 2**40  # characters: a size at which nothing is cut


def excerpt_text(text: str, size: int, *, keep_end: bool = False) -> str:
    """Remove invisible characters and secrets from a text; of a longer one keep at least its first (or last) `size`.

    A text that was cut has "…" at the cut.
    """
    if len(text) <= size + 2 * _MARGIN:
        return redact_text(clean(text))
    part = text[-(size + 2 * _MARGIN) :] if keep_end else text[: size + 2 * _MARGIN]
    safe = redact_text(clean(part))
    margin = _MARGIN + max(0, len(safe) - len(part))
    return f"…{safe[margin:]}" if keep_end else f"{safe[: len(safe) - margin]}…"


def show_id(text: str) -> str:
    """Write an id with every character visible, and with a mask in place of a credential in it."""
    if isinstance(text, EscapedId):
        return text
    cleaned = clean(text)
    masked = redact_text(cleaned)
    return escape(text) if masked == cleaned else masked


@dataclass
class CharacterBudget:
    """Characters that may still be taken from a value, and whether parts were left out for their number or depth."""

    remaining: int
    cut: bool = False
    too_deep: bool = False


def take_excerpt(value: Any, budget: CharacterBudget, *, keep_end: bool = False, depth: int = 0) -> Any:
    """Take what fits into the budget from the start of a JSON value, or with `keep_end` from the end of a text.

    Values that are nested too deeply become "…". Text that is not cut is not made safe either: only a text that is cut
    must be, before its cut. A number that JSON does not have becomes a text.
    """
    if isinstance(value, str):
        budget.remaining -= len(value)
        if budget.remaining >= -2 * _MARGIN:
            return value
        budget.cut = True
        return excerpt_text(value, max(budget.remaining + len(value), 0), keep_end=keep_end)
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if not isinstance(value, list | dict):
        budget.remaining -= 4
        return value
    if depth == _DEEPEST:
        budget.too_deep = True
        return "…"
    if isinstance(value, list):
        return _take_items(cast("list[Any]", value), budget, depth)
    return _take_fields(cast("dict[str, Any]", value), budget, depth)


def _take_items(items: list[Any], budget: CharacterBudget, depth: int) -> list[Any]:
    excerpt: list[Any] = []
    for item in items:
        if budget.remaining <= 0:
            budget.cut = True
            excerpt.append("…")
            break
        excerpt.append(take_excerpt(item, budget, depth=depth + 1))
        budget.remaining -= 1
    return excerpt


def _take_fields(fields: Mapping[str, Any], budget: CharacterBudget, depth: int) -> dict[str, Any]:
    excerpt: dict[str, Any] = {}
    for key, item in fields.items():
        if budget.remaining <= 0:
            budget.cut = True
            name_fields = {name: fields[name] for name in _NAMES if isinstance(fields.get(name), str)}
            excerpt |= {
                name: text for name, text in name_fields.items() if name not in excerpt and len(text) <= _NAME_SIZE
            }
            excerpt["…"] = "…"
            break
        key = take_excerpt(key, budget)
        excerpt[key] = take_excerpt(item, budget, depth=depth + 1)
        budget.remaining -= 3
    return excerpt
