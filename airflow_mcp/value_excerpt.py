"""The part of a value that an answer can show, made safe: work is bounded by what is shown, not by what came.

A text is cut before it is made safe, further out than it will be shown: a secret that the cut runs through is still
recognised, or lies in the margin that is then dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

from airflow_mcp.redact import redact_text
from airflow_mcp.text import EscapedId, clean, escape

_MARGIN = 4096  # characters: longer than the keys and tokens that are known by their form
_DEEPEST = 60  # containers in each other; an answer's own and its client's parsers end at some hundred
_NAMES = ("name", "key")  # fields of an object that tell whether what stands beside them is a secret
_NAME_SIZE = 200  # characters
ANY_SIZE = 2**40  # characters: a room in which nothing is cut


def excerpt_text(text: str, size: int, *, keep_end: bool = False) -> str:
    """Make a text safe, without unseen characters and secrets; of a longer one at least its first (or last) `size`.

    A text that was cut has "…" there.
    """
    if len(text) <= size + 2 * _MARGIN:
        return redact_text(clean(text))
    part = text[-(size + 2 * _MARGIN) :] if keep_end else text[: size + 2 * _MARGIN]
    safe = redact_text(clean(part))
    dropped = _MARGIN + max(0, len(safe) - len(part))
    return f"…{safe[dropped:]}" if keep_end else f"{safe[: len(safe) - dropped]}…"


def show_id(text: str) -> str:
    """Write an id with every character seen; one that holds a credential has a mask instead of it."""
    if isinstance(text, EscapedId):
        return text
    cleaned = clean(text)
    masked = redact_text(cleaned)
    return escape(text) if masked == cleaned else masked


@dataclass
class CharacterBudget:
    """Characters that may still be taken of a value, and whether some were left out, for their number or depth."""

    remaining: int
    cut: bool = False
    too_deep: bool = False


def take_excerpt(value: Any, budget: CharacterBudget, *, keep_end: bool = False, depth: int = 0) -> Any:
    """Take the first of a JSON value that fit into the room, of a text the last with `keep_end`; deep ones as "…".

    What is not cut is not made safe either: only a text that is cut must be, before its cut. A number that JSON does
    not have becomes a text.
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
    kept: list[Any] = []
    for item in items:
        if budget.remaining <= 0:
            budget.cut = True
            kept.append("…")
            break
        kept.append(take_excerpt(item, budget, depth=depth + 1))
        budget.remaining -= 1
    return kept


def _take_fields(fields: Mapping[str, Any], budget: CharacterBudget, depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, item in fields.items():
        if budget.remaining <= 0:
            budget.cut = True
            named = {name: fields[name] for name in _NAMES if isinstance(fields.get(name), str)}
            kept |= {name: text for name, text in named.items() if name not in kept and len(text) <= _NAME_SIZE}
            kept["…"] = "…"
            break
        key = take_excerpt(key, budget)
        kept[key] = take_excerpt(item, budget, depth=depth + 1)
        budget.remaining -= 3
    return kept
