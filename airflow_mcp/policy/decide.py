"""Which tools the operator allowed, and the sentence for one that is not.

Reads are allowed. Anything that changes Airflow needs an entry of AIRFLOW_MCP_ALLOW that names it: its name, a glob, or
its class (`@write`, `@destructive`, `@admin`). No glob reaches admin tools: whoever may create a user may create an
administrator. `@secret` lifts our masking of secret fields.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.errors import NotAllowedError, SettingsError

_CLASSES = ("@write", "@destructive", "@admin", "@secret")


@dataclass(frozen=True)
class Policy:
    """The operator's decision, made once at start."""

    allow: tuple[str, ...] = ()

    @property
    def reveals_secrets(self) -> bool:
        """Whether results show secret fields."""
        return "@secret" in self.allow

    def names(self, tool: Tool) -> bool:
        """Whether an entry names this tool literally."""
        return tool.name in self.allow

    def allows(self, tool: Tool) -> bool:
        """Whether a call of this tool may happen."""
        return tool.entry.access == "read" or any(_matches(pattern, tool) for pattern in self.allow)

    def require(self, tool: Tool) -> None:
        """Raise NotAllowedError unless a call of this tool may happen."""
        if not self.allows(tool):
            raise NotAllowedError(
                f"{tool.name} is not allowed here: it is a {tool.entry.access} operation, and nothing was sent to "
                f"Airflow. The operator of this server can allow it by adding {tool.name} (or @{tool.entry.access}) "
                "to the setting AIRFLOW_MCP_ALLOW."
            )


def parse_policy(allow: Iterable[str], catalog: Catalog) -> Policy:
    """Check the entries of AIRFLOW_MCP_ALLOW against what exists.

    Raises SettingsError for an entry that matches nothing: a misspelt permission must not pass for a given one.
    """
    patterns = tuple(dict.fromkeys(entry.strip() for entry in allow if entry.strip()))
    for pattern in patterns:
        if pattern in _CLASSES or any(_matches(pattern, tool) for tool in catalog.tools.values()):
            continue
        near = difflib.get_close_matches(pattern, [*catalog.tools, *_CLASSES], n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`airflow-mcp tools` lists every tool."
        raise SettingsError(f"AIRFLOW_MCP_ALLOW: {pattern!r} matches no tool. {hint}")
    return Policy(patterns)


def _matches(pattern: str, tool: Tool) -> bool:
    if pattern.startswith("@"):
        return pattern == f"@{tool.entry.access}"
    if pattern == tool.name:
        return True
    return tool.entry.access != "admin" and fnmatchcase(tool.name, pattern)
