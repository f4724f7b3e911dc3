"""What is said at most once a minute, however often it happens: a log that a stranger can fill tells nothing."""

from __future__ import annotations

import logging
import time

_SECONDS = 60.0
_MOST = 1000  # kinds that are remembered


class Sometimes:
    """Warns of each kind of trouble once a minute."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._quiet_until: dict[str, float] = {}

    def warn(self, kind: str, sentence: str) -> None:
        """Log the sentence, unless one of this kind was logged within the last minute."""
        now = time.monotonic()
        if now < self._quiet_until.get(kind, 0.0):
            return
        if len(self._quiet_until) >= _MOST:
            self._quiet_until.clear()
        self._quiet_until[kind] = now + _SECONDS
        self._log.warning("%s", sentence)
