"""/healthz: this process is alive. /readyz: it can work, and which Airflow cannot be reached. No secret in either."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import JSONResponse

from airflow_mcp.errors import AirflowMcpError

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from starlette.requests import Request

    from airflow_mcp.tools.instances import Instances

_SECONDS = 5.0  # that an Airflow has to answer in


def add_health(server: MCPServer[Any], instances: Instances) -> None:
    """Register both at the server."""

    @server.custom_route("/healthz", methods=["GET"])
    async def healthz(request: Request) -> JSONResponse:
        del request
        return JSONResponse({"status": "ok"})

    @server.custom_route("/readyz", methods=["GET"])
    async def readyz(request: Request) -> JSONResponse:
        del request
        reachable = dict.fromkeys(instances.doors, False)

        async def ask(name: str) -> None:
            with anyio.move_on_after(_SECONDS):
                with suppress(AirflowMcpError):
                    await instances.doors[name].client.reach()
                    reachable[name] = True

        async with anyio.create_task_group() as group:
            for name in instances.doors:
                group.start_soon(ask, name)
        # One Airflow that is down must not take the others off the network: ready while any can be worked with.
        ready = any(reachable.values())
        words = {name: "reachable" if well else "unreachable" for name, well in reachable.items()}
        return JSONResponse({"ready": ready, "instances": words}, 200 if ready else 503)
