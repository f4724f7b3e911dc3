"""Find the names that a misspelt name may stand for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_NEAR = 0.7  # of difflib's ratio: "poll" for "pool" is 0.75, "nope" for "h_noise" 0.55
_SHORTEST_PART = 4  # characters of a name that is part of another one


def find_near_names(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Return the names nearest to this one, best first and whatever their case; at most `most`.

    A name is near if it differs in few characters or in their order, or if one of the two contains the other.
    """
    ratios: dict[str, float] = {}
    folded_name = name.casefold()
    for candidate in dict.fromkeys(names):
        folded_candidate = candidate.casefold()
        ratio = difflib.SequenceMatcher(None, folded_name, folded_candidate).ratio()
        shorter, longer = sorted((folded_name, folded_candidate), key=len)
        is_contained = (len(shorter) >= _SHORTEST_PART and shorter in longer) or longer.endswith(f"_{shorter}")
        if is_contained or (len(folded_candidate) > 2 and sorted(folded_name) == sorted(folded_candidate)):
            ratio = max(ratio, _NEAR)
        if ratio >= _NEAR:
            ratios[candidate] = ratio
    return sorted(ratios, key=lambda other: -ratios[other])[:most]
