"""An answer of several sections cut to size: long lists lose their last entries, then the last sections go."""

from __future__ import annotations

from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.tools.shape import dumps

_WHOLE = "whole section"


def fit_sections(answer: Json, keep: tuple[str, ...], budget: int, ceiling: int) -> Json:
    """The answer in at most `budget` characters, where what is in `keep` allows it.

    The longest list, of a section or within one, loses its last entry until it fits or each has one; then sections go,
    the last first. `left_out` counts entries by section, and `more` says how large the whole answer is (up to the
    operator's `ceiling`).
    """
    whole = len(dumps(answer))
    if whole <= budget:
        return answer
    kept: Json = {name: dict(part) if isinstance(part, dict) else part for name, part in answer.items()}
    left_out: dict[str, Any] = {}
    more: Json = {"more": {"max_chars": min(whole, ceiling)}} if budget < ceiling else {}

    def told() -> Json:
        return {**kept, "left_out": left_out, **more}

    while len(dumps(told())) > budget:
        longest = _longest_list(kept, keep)
        if longest is not None:
            name, holder, key = longest
            holder[key] = holder[key][:-1]
            left_out[name] = left_out.get(name, 0) + 1
            continue
        last = next((name for name in reversed(kept) if name not in keep), None)
        if last is None:
            break
        del kept[last]
        left_out[last] = _WHOLE
    return told()


def _longest_list(answer: Json, keep: tuple[str, ...]) -> tuple[str, Json, str] | None:
    """The longest list of more than one entry: its section, what holds it, and under which key."""
    found: list[tuple[int, str, Json, str]] = []
    for name, part in answer.items():
        if name in keep:
            continue
        holders: list[tuple[Json, str]] = [(answer, name)]
        if isinstance(part, dict):
            section: Json = part
            holders = [(section, key) for key in section]
        for holder, key in holders:
            if isinstance(holder[key], list) and len(holder[key]) > 1:
                found.append((len(dumps(holder[key])), name, holder, key))
    return max(found, key=lambda one: one[0])[1:] if found else None
