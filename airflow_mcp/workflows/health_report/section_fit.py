"""An answer of several sections cut to size: long lists lose their last entries, then the last sections go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps

_SECTION = "whole section"


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
    lists = [one for one in _find_long_lists(kept) if one.section not in keep]
    left_out: dict[str, Any] = {}
    more: Json = {"more": {**answer.get("more", {}), "max_chars": min(whole, ceiling)}} if budget < ceiling else {}

    def build_answer() -> Json:
        return {**kept, "left_out": left_out, **more}

    size = whole
    while size + len(dumps({"left_out": left_out, **more})) - 1 > budget:
        if lists:
            longest = max(lists, key=lambda one: one.size)
            size -= longest.drop_last()
            left_out[longest.section] = left_out.get(longest.section, 0) + 1
            if len(longest.sizes) == 1:
                lists.remove(longest)
            continue
        last = next((name for name in reversed(kept) if name not in keep), None)
        if last is None:
            break
        del kept[last]
        left_out[last] = _SECTION
        size = len(dumps(kept))
    return build_answer()


@dataclass
class _LongList:
    """A list of more than one entry: what holds it, and the characters of each entry, which are counted once."""

    section: str
    entries: list[Any]
    sizes: list[int]
    size: int

    def drop_last(self) -> int:
        """Leave the last entry out; the characters that this saves."""
        self.entries.pop()
        saved = self.sizes.pop() + 1
        self.size -= saved
        return saved


def _find_long_lists(answer: Json) -> list[_LongList]:
    """Every such list that is a section, or stands in one; each is replaced by a copy that may be cut."""
    found: list[_LongList] = []
    for name, part in answer.items():
        holder: Json = part if isinstance(part, dict) else answer
        for key in list(holder) if isinstance(part, dict) else [name]:
            if isinstance(holder[key], list) and len(holder[key]) > 1:
                holder[key] = entries = [*holder[key]]
                sizes = [len(dumps(entry)) for entry in entries]
                found.append(_LongList(name, entries, sizes, sum(sizes) + len(sizes) + 1))
    return found
