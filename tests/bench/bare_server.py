"""The least an MCP server of the same SDK can be: one tool over stdio, to compare start-up with."""

from __future__ import annotations

from mcp.server import MCPServer

server: MCPServer[None] = MCPServer("bare", log_level="WARNING")


@server.tool()
def echo(text: str) -> str:
    """Say the same."""
    return text


if __name__ == "__main__":
    server.run("stdio")
