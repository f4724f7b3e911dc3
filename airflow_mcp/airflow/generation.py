"""Which Airflow this is: generation v1 (2.x) or v2 (3.x), and its version."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import anyio

from airflow_mcp.catalog.versions import OLDEST, Generation, Version
from airflow_mcp.errors import AirflowError, AirflowMcpError, LoginError, NotSupportedError

Get = Callable[[str], Awaitable[tuple[int, bytes]]]


class Detection:
    """The version of one Airflow, asked until it answers once, for all the clients of it."""

    def __init__(self) -> None:
        self.known: Version | None = None
        self._asking = anyio.Lock()
        self._failure: AirflowMcpError | None = None
        self._failed_at = 0.0
        self._failed_for: object = None

    async def version(self, get: Get, asker: object) -> Version:
        """What `detect` says; calls that wait for it share its failure, but for a login that is another asker's."""
        if self.known is None:
            began = anyio.current_time()
            async with self._asking:
                if self.known is None:
                    theirs = isinstance(self._failure, LoginError) and self._failed_for is not asker
                    if self._failure and began <= self._failed_at and not theirs:
                        raise self._failure.with_traceback(None)
                    try:
                        self.known = await detect(get)
                    except AirflowMcpError as error:
                        self._failure, self._failed_at, self._failed_for = error, anyio.current_time(), asker
                        raise
        return self.known


async def detect(get: Get) -> Version:
    """Ask /api/v2/version, then /api/v1/version; `get(path)` gives status and content.

    Raises NotSupportedError below Airflow 2.7, LoginError where even that needs a login that failed, and AirflowError
    when neither answers like an Airflow.
    """
    generations: tuple[Generation, ...] = ("v2", "v1")
    status = worst = 0
    for generation in generations:
        status, content = await get(f"/api/{generation}/version")
        if status == 200 and (version := _parse(content)):
            if version < OLDEST["v1"]:
                raise NotSupportedError(f"This is Airflow {version}; airflow-mcp supports Airflow 2.7 and newer.")
            return version
        worst = max(worst, status)
    if status in (401, 403):
        raise LoginError(f"What answers at AIRFLOW_MCP_URL wants a login before it says anything ({status}).")
    if worst >= 500:
        raise AirflowError(f"What answers at AIRFLOW_MCP_URL fails ({worst}): Airflow may be starting or down.", worst)
    raise AirflowError(
        f"What answers at AIRFLOW_MCP_URL is not Airflow's API (status {status} for its version). The address is the "
        "one a browser opens Airflow at, with its path prefix if it has one.",
        status,
    )


def _parse(content: bytes) -> Version | None:
    try:
        return Version.parse(json.loads(content)["version"])
    except (ValueError, KeyError, TypeError):
        return None
