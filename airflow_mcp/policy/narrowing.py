"""Narrowing of a caller's permissions by its own request, which may narrow them and never widens them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mcp.catalog.loader import Tool


@dataclass(frozen=True)
class Narrowing:
    """Restriction to reads, to some toolsets, or to both; by default there is none."""

    read_only: bool = False
    toolsets: frozenset[str] | None = None

    def refuses(self, tool: Tool, outer: Tool | None = None) -> str:
        """Return why a tool is left out, or an empty text. A step of `outer` is in the toolset that `outer` is in.

        A tool about the whole server, such as the explanation of a permission, belongs to every toolset.
        """
        if self.read_only and any(candidate.entry.access != "read" for candidate in (tool, outer) if candidate):
            return "this request asked for reads only (X-Airflow-MCP-Read-Only)"
        chosen_tool = outer or tool
        if self.toolsets is not None and not chosen_tool.entry.serverwide and chosen_tool.toolset not in self.toolsets:
            toolsets = ", ".join(sorted(self.toolsets)) or "none"
            return f"this request asked for other toolsets only (X-Airflow-MCP-Toolsets: {toolsets})"
        return ""


UNRESTRICTED = Narrowing()
