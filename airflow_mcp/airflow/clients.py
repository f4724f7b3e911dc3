"""The clients of one Airflow that is asked in each caller's own name: one for each caller, none shared."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from airflow_mcp.airflow.callers import Identify, Presented
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog.versions import Version
from airflow_mcp.tokens import digest

_MOST = 1000  # logins that are kept
_MOST_OF_ONE = 10  # of one caller: whoever sends many tokens displaces nobody else's login


@dataclass
class _Kept:
    client: AirflowClient
    calls: int = 0  # that use it now


class OwnClients:
    """Gives each caller a client with a login of its own, and keeps the latest ones.

    `shared` asks for the version, for everyone, and nothing else. What is dropped is closed, once nobody uses it.
    """

    def __init__(
        self, shared: AirflowClient, identify: Identify, most: int = _MOST, most_of_one: int = _MOST_OF_ONE
    ) -> None:
        self.url = shared.url
        self._shared = shared
        self._identify = identify
        self._most = most
        self._most_of_one = most_of_one
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    @asynccontextmanager
    async def of(self, name: str, presented: Presented) -> AsyncGenerator[AirflowClient, None]:
        """The client of this caller, for the block. Raises LoginError where it presents nothing to be known by."""
        own = self._identify(presented)
        key = name, digest(own.secret)
        kept = self._kept.get(key) or self._kept.setdefault(key, _Kept(self._shared.sibling(own.way)))
        self._kept.move_to_end(key)
        kept.calls += 1
        try:
            yield kept.client
        finally:
            kept.calls -= 1
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        """Close what is beyond the most that is kept, of this caller and of all, unused for longest first."""
        surplus = max(sum(1 for key in self._kept if key[0] == name) - self._most_of_one, 0)
        idle = [key for key, kept in self._kept.items() if key[0] == name and not kept.calls][:surplus]
        dropped = [self._kept.pop(key) for key in idle]
        surplus = max(len(self._kept) - self._most, 0)
        idle = [key for key, kept in self._kept.items() if not kept.calls][:surplus]
        dropped += [self._kept.pop(key) for key in idle]
        with anyio.CancelScope(shield=True):
            for kept in dropped:
                await kept.client.aclose()

    async def version(self) -> Version:
        """See AirflowClient."""
        return await self._shared.version()

    async def reach(self) -> Version:
        """See AirflowClient."""
        return await self._shared.reach()

    @property
    def known_version(self) -> Version | None:
        """See AirflowClient."""
        return self._shared.known_version

    async def aclose(self) -> None:
        """Forget every login, and close the connections."""
        while self._kept:
            _, kept = self._kept.popitem()
            await kept.client.aclose()
        await self._shared.aclose()


Clients = AirflowClient | OwnClients
