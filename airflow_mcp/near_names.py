"""Names that somebody may have meant: near enough to be worth reading, or none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_NEAR = 0.7  # of difflib's ratio: "poll" for "pool" is 0.75, "nope" for "h_noise" 0.55
_SHORTEST_PART = 4  # characters of a name that stands inside another one


def find_near_names(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """The names nearest to this one, best first, whatever their case; at most `most`.

    A name is near that differs in few characters or in their order, or that holds this one whole (or is held by it).
    """
    ratios: dict[str, float] = {}
    folded = name.casefold()
    for other in dict.fromkeys(names):
        near = other.casefold()
        ratio = difflib.SequenceMatcher(None, folded, near).ratio()
        shorter, longer = sorted((folded, near), key=len)
        holds = (len(shorter) >= _SHORTEST_PART and shorter in longer) or longer.endswith(f"_{shorter}")
        if holds or (len(near) > 2 and sorted(folded) == sorted(near)):
            ratio = max(ratio, _NEAR)
        if ratio >= _NEAR:
            ratios[other] = ratio
    return sorted(ratios, key=lambda other: -ratios[other])[:most]
