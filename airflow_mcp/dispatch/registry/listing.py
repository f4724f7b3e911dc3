"""Which tools are listed: those that policy allows, of the toolsets and tools to list, that the connected Airflow has.

Listing is not permission. An allowed tool outside the toolsets still runs by name, and one that AIRFLOW_MCP_ALLOW names
literally is always listed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import SettingsError
from airflow_mcp.policy.decision import Principal, offers
from airflow_mcp.policy.rules import Policy


def parse_toolsets(names: Iterable[str], catalog: Catalog) -> frozenset[str]:
    """What to list: the toolsets and tools named, or `all`, or for no name the default. Raises SettingsError."""
    chosen = frozenset(names) or catalog.default
    if "all" in chosen:
        return catalog.toolsets
    for name in sorted(chosen - catalog.toolsets - catalog.tools.keys()):
        near = difflib.get_close_matches(name, [*catalog.toolsets, *catalog.tools], n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(sorted(catalog.toolsets))} and all."
        raise SettingsError(f"AIRFLOW_MCP_TOOLSETS: {name!r} is no toolset. {hint}")
    return chosen


def select_tools(
    catalog: Catalog, policy: Policy, toolsets: frozenset[str], version: Version | None, principal: Principal
) -> list[Tool]:
    """The tools to show, reads first; without a version, those that any version has."""
    shown = [
        tool
        for tool in catalog.tools.values()
        if offers(policy, tool, principal)
        and (tool.toolset in toolsets or tool.name in toolsets or policy.names_tool(tool))
        and (version is None or tool.entry.since.has(version))
    ]
    return sorted(shown, key=lambda tool: tool.entry.access != "read")
