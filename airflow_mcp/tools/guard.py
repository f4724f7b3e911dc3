"""What the doors of one server share to keep watch: the plans they gave, the calls they counted, the audit trail."""

from __future__ import annotations

from airflow_mcp.policy.rules import Policy
from airflow_mcp.tools.audit import Audit
from airflow_mcp.tools.plan import Plans
from airflow_mcp.tools.rates import Rates
from airflow_mcp.tools.shared import SharedMemory


class Guard:
    """One for all doors; with a Redis, and the keys that seal plans, for the doors of all replicas."""

    def __init__(
        self, policy: Policy, audit_path: str = "", *, redis_url: str = "", keys: tuple[str, ...] = ()
    ) -> None:
        """Raises SettingsError when the audit file cannot be written, or the library for Redis is missing."""
        self._shared = SharedMemory(redis_url) if redis_url else None
        self.plans = Plans(self._shared, keys)
        self.rates = Rates(policy.per_minute, self._shared)
        self.audit = Audit(audit_path)

    async def aclose(self) -> None:
        """Close the audit trail and the connections to Redis."""
        self.audit.shut()
        if self._shared is not None:
            await self._shared.aclose()
