"""/healthz (alive) and /readyz (ready). Neither asks Airflow at each request, nor names one without a token."""

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

_SECONDS = 5.0  # that an Airflow has to answer
_FRESH_SECONDS = 10.0  # that a result is reused
_PROBE_SECONDS = 0.5  # that /readyz waits for an Airflow it does not depend on: Kubernetes gives probes 1 s


class Reachability:
    """Finds out which Airflows can be reached, at most once in ten seconds for any number of requests."""

    def __init__(self, instances: Instances, clock: Callable[[], float] = time.monotonic) -> None:
        self._instances = instances
        self._clock = clock
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._reachable: dict[str, bool] = {}

    async def find(self, patience: float) -> dict[str, bool]:
        """Return by name whether each Airflow can be reached, as far as that is known within `patience` seconds."""
        is_fresh = self._asked_at is not None and self._clock() < self._asked_at + _FRESH_SECONDS
        if not is_fresh and (self._asking is None or self._asking.done()):
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
    """Register both paths; with `needs_airflow` the server is ready only while some Airflow can be reached."""
    reachability = Reachability(instances)

    @server.custom_route("/healthz", methods=["GET"])
    async def healthz(request: Request) -> JSONResponse:
        del request
        return JSONResponse({"status": "ok"})

    @server.custom_route("/readyz", methods=["GET"])
    async def readyz(request: Request) -> JSONResponse:
        reachable = await reachability.find(_SECONDS + 1 if needs_airflow else _PROBE_SECONDS)
        # One Airflow that is down must not make the others unavailable: ready while any can be reached.
        ready = not needs_airflow or any(reachable.values())
        body: dict[str, Any] = {"ready": ready}
        if reachable and not any(reachable.values()):
            body["airflow"] = "Airflow cannot be reached."
        if isinstance(request.scope.get("user"), AuthenticatedUser):
            names = instances.dispatchers
            body["instances"] = {name: _describe(reachable.get(name)) for name in names}
        return JSONResponse(body, 200 if ready else 503)


def _describe(reachable: bool | None) -> str:
    if reachable is None:
        return "not known yet"
    return "reachable" if reachable else "unreachable"
