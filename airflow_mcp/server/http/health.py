"""/healthz: this process is alive. /readyz: it can work. Neither asks Airflow each time, nor names one to strangers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.responses import JSONResponse

from airflow_mcp.errors import AirflowMcpError

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from starlette.requests import Request

    from airflow_mcp.dispatch.registry.instances import Instances

_SECONDS = 5.0  # that an Airflow has to answer in
_FRESH_SECONDS = 10.0  # that what was found stays good
_PROBE_SECONDS = 0.5  # that an answer which does not depend on Airflow waits for it: Kubernetes gives probes a second


class Reachability:
    """Which Airflows can be reached, asked at most once in ten seconds, however many want to know."""

    def __init__(self, instances: Instances, clock: Callable[[], float] = time.monotonic) -> None:
        self._instances = instances
        self._clock = clock
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._reachable: dict[str, bool] = {}

    async def find(self, patience: float) -> dict[str, bool]:
        """By name, whether each can be reached, as far as that is known within `patience` seconds."""
        fresh = self._asked_at is not None and self._clock() < self._asked_at + _FRESH_SECONDS
        if not fresh and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask_all())
        if self._asking is not None and not self._asking.done() and not self._reachable:
            await asyncio.wait([self._asking], timeout=patience)
        return self._reachable

    async def _ask_all(self) -> None:
        reachable = dict.fromkeys(self._instances.dispatchers, False)

        async def ask(name: str) -> None:
            with anyio.move_on_after(_SECONDS), suppress(AirflowMcpError):
                await self._instances.dispatchers[name].client.refresh_version()
                reachable[name] = True

        async with anyio.create_task_group() as group:
            for name in reachable:
                group.start_soon(ask, name)
        self._reachable, self._asked_at = reachable, self._clock()


def add_health(server: MCPServer[Any], instances: Instances, *, needs_airflow: bool) -> None:
    """Register both at the server. `needs_airflow` is whether it is ready only while some Airflow can be reached."""
    reachability = Reachability(instances)

    @server.custom_route("/healthz", methods=["GET"])
    async def healthz(request: Request) -> JSONResponse:
        del request
        return JSONResponse({"status": "ok"})

    @server.custom_route("/readyz", methods=["GET"])
    async def readyz(request: Request) -> JSONResponse:
        reachable = await reachability.find(_SECONDS + 1 if needs_airflow else _PROBE_SECONDS)
        # One Airflow that is down must not take the others off the network: ready while any can be worked with.
        ready = not needs_airflow or any(reachable.values())
        told: dict[str, Any] = {"ready": ready}
        if reachable and not any(reachable.values()):
            told["airflow"] = "Airflow cannot be reached."
        if isinstance(request.scope.get("user"), AuthenticatedUser):
            names = instances.dispatchers
            told["instances"] = {name: _describe(reachable.get(name)) for name in names}
        return JSONResponse(told, 200 if ready else 503)


def _describe(reachable: bool | None) -> str:
    if reachable is None:
        return "not known yet"
    return "reachable" if reachable else "unreachable"
