"""What the doors of one server share to keep watch: the plans they gave, the calls they counted, the audit trail."""

from __future__ import annotations

from airflow_mcp.policy.rules import Policy
from airflow_mcp.tools.audit import Audit
from airflow_mcp.tools.plan import Plans
from airflow_mcp.tools.rates import Rates


class Guard:
    """One for all doors."""

    def __init__(self, policy: Policy, audit_path: str = "") -> None:
        """Raises SettingsError when the audit file cannot be written."""
        self.plans = Plans()
        self.rates = Rates(policy.per_minute)
        self.audit = Audit(audit_path)
