"""The time for which a refused login is not repeated: many wrong logins in a row lock an account."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from airflow_mcp.errors import LoginOnHoldError, LoginRefusedError

Clock = Callable[[], float]
_FIRST = 60.0  # seconds
_LONGEST = 900.0  # seconds: an administrator who unlocks an account waits no longer than that


class Backoff:
    """The refusals of one set of credentials at one place: a minute's pause after the first, then twice the last pause.

    A login calls `require_open` before, and `refuse` or `reset` afterwards.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """`clock` gives seconds that never go back."""
        self._clock = clock
        self._refusals = 0
        self._until = -math.inf
        self._reason = ""

    @property
    def is_closed(self) -> bool:
        """Whether the last refusal is so recent that the same login is not repeated."""
        return self._clock() < self._until

    def require_open(self) -> None:
        """Raise LoginOnHoldError, with the refusal and the time of the next attempt, while the login is on hold."""
        if self.is_closed:
            raise self._error()

    def refuse(self, error: LoginRefusedError) -> LoginOnHoldError:
        """Count a refusal, and return the error to raise, with the refusal and the time of the next attempt.

        Calls that were under way together count as one refusal.
        """
        if not self.is_closed:
            self._until = self._clock() + min(_FIRST * 2**self._refusals, _LONGEST)
            self._refusals += 1
            self._reason = str(error)
        return self._error()

    def reset(self) -> None:
        """Forget the refusals: the login was accepted, or something about it has changed."""
        self._refusals = 0
        self._until = -math.inf

    def _error(self) -> LoginOnHoldError:
        seconds = math.ceil(self._until - self._clock())
        return LoginOnHoldError(f"{self._reason} It is not tried again for {seconds} s, or until a reload (SIGHUP).")
