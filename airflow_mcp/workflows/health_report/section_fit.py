"""Cut an answer of several sections to size: long lists lose their last entries, then the last sections go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps

_SECTION = "whole section"


def fit_sections(answer: Json, keep: tuple[str, ...], budget: int, ceiling: int) -> Json:
    """Cut the answer to at most `budget` characters, as far as the sections in `keep` allow, which are never cut.

    The longest list, a section or within one, loses its last entry until the answer fits or each list has one entry;
    then sections go, the last first. `left_out` counts the entries by section, and `more` gives the size of the whole
    answer (at most the operator's `ceiling`).
    """
    full_size = len(dumps(answer))
    if full_size <= budget:
        return answer
    cut_answer: Json = {name: dict(part) if isinstance(part, dict) else part for name, part in answer.items()}
    long_lists = [one for one in _find_long_lists(cut_answer) if one.section not in keep]
    left_out: dict[str, Any] = {}
    size_hint: Json = (
        {"more": {**answer.get("more", {}), "max_chars": min(full_size, ceiling)}} if budget < ceiling else {}
    )

    def build_answer() -> Json:
        return {**cut_answer, "left_out": left_out, **size_hint}

    size = full_size
    while size + len(dumps({"left_out": left_out, **size_hint})) - 1 > budget:
        if long_lists:
            longest = max(long_lists, key=lambda one: one.size)
            size -= longest.drop_last()
            left_out[longest.section] = left_out.get(longest.section, 0) + 1
            if len(longest.sizes) == 1:
                long_lists.remove(longest)
            continue
        last_section = next((name for name in reversed(cut_answer) if name not in keep), None)
        if last_section is None:
            break
        del cut_answer[last_section]
        left_out[last_section] = _SECTION
        size = len(dumps(cut_answer))
    return build_answer()


@dataclass
class _LongList:
    """A list of more than one entry: its section, and the characters of each entry, which are counted once."""

    section: str
    entries: list[Any]
    sizes: list[int]
    size: int

    def drop_last(self) -> int:
        """Drop the last entry and return the number of characters that this saves."""
        self.entries.pop()
        saved = self.sizes.pop() + 1
        self.size -= saved
        return saved


def _find_long_lists(answer: Json) -> list[_LongList]:
    """Find every list that is a section or within one and has two entries or more, and put a copy in its place."""
    long_lists: list[_LongList] = []
    for name, part in answer.items():
        holder: Json = part if isinstance(part, dict) else answer
        for key in list(holder) if isinstance(part, dict) else [name]:
            if isinstance(holder[key], list) and len(holder[key]) > 1:
                holder[key] = entries = [*holder[key]]
                sizes = [len(dumps(entry)) for entry in entries]
                long_lists.append(_LongList(name, entries, sizes, sum(sizes) + len(sizes) + 1))
    return long_lists
