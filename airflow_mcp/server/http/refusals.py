"""Refusals of HTTP requests: their answer, log line and metric, and the rate limit of each sender."""

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
_QUIET = frozenset({"rate", "busy"})  # reasons that are not logged: no mistake in settings causes them
_throttle = Throttle(logging.getLogger(__name__))


class Refusal(JSONResponse):
    """The answer to a refused request: a sentence for its sender, and a reason of one word for metrics."""

    def __init__(self, reason: str, status: int, sentence: str, wait: int = 0) -> None:
        """Build the answer; `sentence` is redacted and cut, since it may quote the request. `wait` is in seconds."""
        self.sentence = shorten(redact_text(clean(sentence[: 4 * _SHOWN])), _SHOWN)
        self.reason = reason
        super().__init__({"error": self.sentence}, status, {"Retry-After": str(wait)} if wait else {})


class Refusals:
    """Refuses requests, and counts all requests, refused or not, by sender."""

    def __init__(
        self, per_minute: int, count: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Allow each sender `per_minute` requests; `count` gets the reason of each refusal."""
        self._per_minute = per_minute
        self._count = count
        self._recent = RecentCalls(clock)

    def take(self, sender: str, subject: str) -> Refusal | None:
        """Count a request; return a refusal where its sender has used up the requests of a minute.

        `subject` names a sender in the sentence: "one address" or "one caller".
        """
        seconds = self._recent.wait(sender, self._per_minute, count=True)
        if seconds <= 0:
            return None
        wait = math.ceil(seconds)
        sentence = f"{self._per_minute} requests a minute are accepted from {subject}. Try again in {wait} s."
        return Refusal("rate", 429, sentence, wait=wait)

    async def refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with the refusal; count it, and log it unless its reason is quiet."""
        self._count(refusal.reason)
        if refusal.reason not in _QUIET:
            line = f"a request was refused ({refusal.status_code}): {refusal.sentence}"
            _throttle.warn(refusal.reason, line)
        await refusal(scope, receive, send)
