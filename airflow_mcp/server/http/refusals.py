"""Requests that are turned away: one sentence each for the sender, the operator and whoever counts, and their rate."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from airflow_mcp.dispatch.safety.rate_limits import RecentCalls
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten
from airflow_mcp.throttle import Throttle

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_SHOWN = 400  # characters of a sentence
_QUIET = frozenset({"rate", "busy"})  # reasons that are no mistake of anybody's settings
_throttle = Throttle(logging.getLogger(__name__))


class Refusal(JSONResponse):
    """One sentence for whoever sent the request, and one word for whoever counts."""

    def __init__(self, reason: str, status: int, sentence: str, wait: int = 0) -> None:
        """`sentence` quotes little of the request: it is made safe as a whole. `wait` is in seconds."""
        self.sentence = shorten(redact_text(clean(sentence[: 4 * _SHOWN])), _SHOWN)
        self.reason = reason
        super().__init__({"error": self.sentence}, status, {"Retry-After": str(wait)} if wait else {})


class Refusals:
    """Refuses requests, and counts all of them, let in or not, by whoever sent them."""

    def __init__(
        self, per_minute: int, count: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`per_minute` is the requests of one sender; `count` is told the reason of each refusal."""
        self._per_minute = per_minute
        self._count = count
        self._recent = RecentCalls(clock)

    def take(self, sender: str, subject: str) -> Refusal | None:
        """Count a request, or the refusal where the sender made as many within a minute as it may.

        `subject` says in words what one sender is: "one address", "one caller".
        """
        seconds = self._recent.wait(sender, self._per_minute, count=True)
        if seconds <= 0:
            return None
        wait = math.ceil(seconds)
        sentence = f"{self._per_minute} requests a minute are accepted from {subject}. Try again in {wait} s."
        return Refusal("rate", 429, sentence, wait=wait)

    async def refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with it."""
        self._count(refusal.reason)
        if refusal.reason not in _QUIET:
            words = f"a request was refused ({refusal.status_code}): {refusal.sentence}"
            _throttle.warn(refusal.reason, words)
        await refusal(scope, receive, send)
