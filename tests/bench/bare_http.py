"""The least an MCP server over HTTP can be: one tool that asks Airflow for a DAG, to compare throughput with.

python -m tests.bench.bare_http URL    prints the port it listens on and serves until SIGTERM
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context


@asynccontextmanager
async def _http(server: MCPServer[httpx2.AsyncClient]) -> AsyncGenerator[httpx2.AsyncClient]:
    del server
    async with httpx2.AsyncClient(base_url=sys.argv[1], headers={"Authorization": "Bearer a-token"}) as http:
        yield http


server = MCPServer("bare", log_level="WARNING", lifespan=_http)


@server.tool()
async def get_dag(dag_id: str, ctx: Context[httpx2.AsyncClient]) -> dict[str, Any]:
    """Get a DAG."""
    answer = await ctx.request_context.lifespan_context.get(f"/api/v2/dags/{dag_id}")
    answer.raise_for_status()
    return answer.json()


def main() -> None:
    """Listen, say where, serve."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as uvicorn's own sockets have it
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(
            uvicorn.Config(server.streamable_http_app(), log_level="warning", access_log=False, lifespan="on")
        ).run(sockets=[listener])


if __name__ == "__main__":
    main()
