"""Fair shares of a limited number of places, so that no holder locks out all others.

The bound moves with the number of free places (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on
Networking 6(2), 1998): a holder may take another place while it holds fewer than are free. A sole holder gets half of
all places, two get a third each, and a newcomer finds a place until there are about as many holders as places.
"""

from __future__ import annotations

from collections import Counter

SOLE_HOLDER = ""
"""The holder that shares with nobody, as on one person's own machine: it may take every free place."""


class FairShare:
    """The places of one kind, and the number that each holder has taken."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.free = places
        self._held: Counter[str] = Counter()

    def fits(self, holder: str) -> bool:
        """Return whether this holder may take another place now."""
        return self.free > (0 if holder == SOLE_HOLDER else self._held[holder])

    def take(self, holder: str) -> bool:
        """Take a place if the holder may, and return whether it did; `give_back` ends it."""
        if not self.fits(holder):
            return False
        self.free -= 1
        self._held[holder] += 1
        return True

    def give_back(self, holder: str) -> None:
        """Give back one place that this holder took."""
        self.free += 1
        self._held[holder] -= 1
        if self._held[holder] <= 0:
            del self._held[holder]  # keep no entries for holders without places

    def count_places(self, holder: str) -> int:
        """Return the number of places that this holder has."""
        return self._held.get(holder, 0)
