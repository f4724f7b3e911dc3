"""Log each kind of warning at most once per period, so that a stranger cannot flood the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_MOST = 1000  # kinds in memory


class Throttle:
    """Logs a warning of each kind at most once in `seconds` seconds."""

    def __init__(self, log: logging.Logger, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._quiet_until: dict[str, float] = {}

    def warn(self, kind: str, sentence: str) -> None:
        """Log the sentence, unless one of this kind was logged within the period."""
        now = self._clock()
        if now < self._quiet_until.get(kind, 0.0):
            return
        if len(self._quiet_until) >= _MOST:
            self._quiet_until.clear()
        self._quiet_until[kind] = now + self._seconds
        self._log.warning("%s", sentence)
