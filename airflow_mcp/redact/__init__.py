"""Mask secrets in addition to Airflow's own masking: by name, by form, in JSON, in addresses and in running text.

Airflow 2.x gives variables, its configuration and parts of connections in clear, so its masking cannot be relied on.
docs/permissions.md says what is masked and what may pass.
"""

from airflow_mcp.redact.names import MASK, SENSITIVE, is_sensitive
from airflow_mcp.redact.objects import is_masked, mask_values, redact, redact_text

__all__ = ["MASK", "SENSITIVE", "is_masked", "is_sensitive", "mask_values", "redact", "redact_text"]
