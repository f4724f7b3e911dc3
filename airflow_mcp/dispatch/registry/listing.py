"""The tools to list: those that policy allows, of the chosen toolsets and tools, that the connected Airflow has.

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
    """Return the toolsets and tools to list: those named, for `all` every one, without names the default.

    Raises SettingsError for an unknown name.
    """
    selection = frozenset(names) or catalog.default
    if "all" in selection:
        return catalog.toolsets
    for name in sorted(selection - catalog.toolsets - catalog.tools.keys()):
        matches = difflib.get_close_matches(name, [*catalog.toolsets, *catalog.tools], n=1)
        hint = f"Did you mean {matches[0]}?" if matches else f"There are {', '.join(sorted(catalog.toolsets))} and all."
        raise SettingsError(f"AIRFLOW_MCP_TOOLSETS: {name!r} is no toolset. {hint}")
    return selection


def select_tools(
    catalog: Catalog, policy: Policy, toolsets: frozenset[str], version: Version | None, principal: Principal
) -> list[Tool]:
    """Return the tools to list, reads first; without a version, those of any version."""
    tools = [
        tool
        for tool in catalog.tools.values()
        if offers(policy, tool, principal)
        and (tool.toolset in toolsets or tool.name in toolsets or policy.names_tool(tool))
        and (version is None or tool.entry.since.has(version))
    ]
    return sorted(tools, key=lambda tool: tool.entry.access != "read")
