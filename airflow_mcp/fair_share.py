"""How many of a limited number of places one holder may take, so that nobody locks out everybody else.

The bound moves with what is free (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2),
1998): a holder may take another place while it holds fewer than are free. One alone gets half of all, two get a third
each, and a newcomer finds a place until there are about as many holders as places.
"""

from __future__ import annotations

from collections import Counter

SOLE_HOLDER = ""
"""The holder who shares with nobody: one person's own machine. Every free place is theirs."""


class FairShare:
    """The places of one kind, and who holds them."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.free = places
        self._held: Counter[str] = Counter()

    def fits(self, holder: str) -> bool:
        """Whether this holder may take another place now."""
        return self.free > (0 if holder == SOLE_HOLDER else self._held[holder])

    def take(self, holder: str) -> bool:
        """Take a place, if the holder may; whether it did. `give_back` follows."""
        if not self.fits(holder):
            return False
        self.free -= 1
        self._held[holder] += 1
        return True

    def give_back(self, holder: str) -> None:
        """End one `take` of this holder."""
        self.free += 1
        self._held[holder] -= 1
        if self._held[holder] <= 0:
            del self._held[holder]  # who holds nothing is not remembered

    def count_places(self, holder: str) -> int:
        """How many places this holder has."""
        return self._held.get(holder, 0)
