"""How many requests an Airflow gets from us at once, and how long a request waits for its turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from airflow_mcp.errors import AirflowUnreachableError

_IN_FLIGHT = 8  # requests at once: an Airflow has few workers, and others use it too


class Places:
    """The places of one Airflow."""

    def __init__(self, url: str, patience: float) -> None:
        """`patience` is the seconds that a request waits for a place."""
        self._url = url
        self._patience = patience
        self._taken = anyio.CapacityLimiter(_IN_FLIGHT)

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None, None]:
        """A place for the block. Raises AirflowUnreachableError when none gets free in time."""
        holder = object()  # a task may read one answer while it asks for another
        try:
            with anyio.fail_after(self._patience):
                await self._taken.acquire_on_behalf_of(holder)
        except TimeoutError:
            raise AirflowUnreachableError(
                f"Airflow at {self._url} is busy with {_IN_FLIGHT} requests of this server, and no turn came within "
                f"{self._patience:g} seconds. Nothing was sent: try again in a moment, or ask for less at once."
            ) from None
        try:
            yield
        finally:
            self._taken.release_on_behalf_of(holder)
