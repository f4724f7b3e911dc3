"""Safeguards that the dispatchers of one server share: rules, plans, rate limits, audit trail and observer."""

from __future__ import annotations

import logging
import time

import anyio

from airflow_mcp.dispatch.safety.audit import AuditRecord, AuditTrail
from airflow_mcp.dispatch.safety.plan_tokens import PlanTokens
from airflow_mcp.dispatch.safety.rate_limits import RateLimiter
from airflow_mcp.dispatch.safety.redis_store import RedisStore
from airflow_mcp.errors import AirflowUnreachableError, LoginError
from airflow_mcp.observer import NULL_OBSERVER, Observer
from airflow_mcp.policy.rules import Policy
from airflow_mcp.throttle import Throttle

_throttle = Throttle(logging.getLogger(__name__))


class Safeguards:
    """Safeguards of all dispatchers of a server; with Redis and the keys that seal plans, of all replicas."""

    def __init__(
        self,
        policy: Policy,
        audit_path: str = "",
        *,
        redis_url: str = "",
        keys: tuple[str, ...] = (),
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        """Open the audit trail and the shared store.

        Raises SettingsError when the audit file cannot be written, or the library for Redis is missing.
        """
        self._shared = RedisStore(redis_url) if redis_url else None
        self._observer = observer
        self.policy = policy  # read once per call, when it begins
        self.plans = PlanTokens(self._shared, keys)
        self.rates = RateLimiter(policy.per_minute, self._shared)
        self.audit = AuditTrail(audit_path)
        self._calls = 0  # in flight
        self._idle = anyio.Event()

    def enforce(self, policy: Policy) -> None:
        """Replace the rules for calls that begin from now on; those in flight finish under their own rules.

        The audit file is opened anew too, since log rotation sends the same signal as a change of the rules.
        """
        self.audit.reopen()
        self.policy = policy
        self.rates.limits = policy.per_minute

    def begin(self) -> None:
        """Count a call that begins; `end` must follow."""
        self._calls += 1
        self._observer.call_began()

    def end(self, record: AuditRecord, error: BaseException | None) -> None:
        """Count a call as over: write its audit line and notify the observer."""
        self.audit.close(record)
        self._calls -= 1
        if not self._calls:
            self._idle.set()
            self._idle = anyio.Event()
        if isinstance(error, LoginError | AirflowUnreachableError):
            _throttle.warn(f"{record.instance} {type(error).__name__}", f"calls fail: {error}")
        seconds = time.monotonic() - record.started
        self._observer.call_ended(record.tool, record.access, record.instance, seconds, error)

    async def wait_until_idle(self) -> None:
        """Wait until every call is over and has its audit line."""
        if self._calls:
            await self._idle.wait()

    async def aclose(self) -> None:
        """Close the audit trail and the connections to Redis."""
        self.audit.close_file()
        if self._shared is not None:
            await self._shared.aclose()
