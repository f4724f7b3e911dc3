"""What is said once in a while, however often it happens: a log that a stranger can fill tells nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_MOST = 1000  # kinds that are remembered


class Throttle:
    """Warns of each kind of trouble once in so many seconds."""

    def __init__(self, log: logging.Logger, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._quiet_until: dict[str, float] = {}

    def warn(self, kind: str, sentence: str) -> None:
        """Log the sentence, unless one of this kind was logged just before."""
        now = self._clock()
        if now < self._quiet_until.get(kind, 0.0):
            return
        if len(self._quiet_until) >= _MOST:
            self._quiet_until.clear()
        self._quiet_until[kind] = now + self._seconds
        self._log.warning("%s", sentence)
