"""What a request leaves out of its own caller's permissions: it may narrow them, and never widens them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mcp.catalog.loader import Tool


@dataclass(frozen=True)
class Narrowing:
    """Reads alone, some toolsets alone, or both; as made, nothing is left out."""

    read_only: bool = False
    toolsets: frozenset[str] | None = None

    def refuses(self, tool: Tool, outer: Tool | None = None) -> str:
        """The words of what leaves a tool out, or nothing. A step of `outer` is in the toolset that `outer` is in.

        What is about the whole server, as the explanation of a permission, belongs to every toolset.
        """
        if self.read_only and any(one.entry.access != "read" for one in (tool, outer) if one):
            return "this request asked for reads only (X-Airflow-MCP-Read-Only)"
        asked = outer or tool
        if self.toolsets is not None and not asked.entry.serverwide and asked.toolset not in self.toolsets:
            chosen = ", ".join(sorted(self.toolsets)) or "none"
            return f"this request asked for other toolsets only (X-Airflow-MCP-Toolsets: {chosen})"
        return ""


UNRESTRICTED = Narrowing()
