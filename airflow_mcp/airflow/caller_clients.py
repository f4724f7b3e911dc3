"""The clients of one Airflow that is asked in each caller's own name: one for each caller, none shared."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass

import anyio

from airflow_mcp.airflow.caller_credentials import CallerCredentials, Identify
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog.versions import Version
from airflow_mcp.http_tokens import hash_token

_MOST = 1000  # logins that are kept
_MOST_OF_ONE = 10  # of one caller: whoever sends many tokens displaces nobody else's login


@dataclass
class _PooledClient:
    client: AirflowClient
    calls: int = 0  # that use it now


class CallerClients:
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
        self._kept: OrderedDict[tuple[str, str], _PooledClient] = OrderedDict()
        self._of_one: Counter[str] = Counter()  # by caller, how many of them

    @asynccontextmanager
    async def borrow(self, name: str, credentials: CallerCredentials) -> AsyncGenerator[AirflowClient, None]:
        """The client of this caller, for the block. Raises LoginError where it presents nothing to be known by."""
        own = self._identify(credentials)
        key = name, hash_token(own.secret)
        if (kept := self._kept.get(key)) is None:
            kept = self._kept[key] = _PooledClient(self._shared.make_sibling(own.method))
            self._of_one[name] += 1
        self._kept.move_to_end(key)
        kept.calls += 1
        try:
            yield kept.client.with_share(credentials.share)
        finally:
            kept.calls -= 1
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        """Close what is beyond the most that is kept, of this caller and of all, unused for longest first."""
        dropped = self._remove_unused(self._of_one[name] - self._most_of_one, name)
        dropped += self._remove_unused(len(self._kept) - self._most)
        with anyio.CancelScope(shield=True):
            for kept in dropped:
                await kept.client.aclose()

    def _remove_unused(self, surplus: int, name: str | None = None) -> list[_PooledClient]:
        """At most so many that nobody uses, of this caller or of all."""
        if surplus <= 0:
            return []
        idle = [key for key, kept in self._kept.items() if not kept.calls and name in (None, key[0])][:surplus]
        self._of_one.subtract(key[0] for key in idle)
        self._of_one = +self._of_one  # without those at zero
        return [self._kept.pop(key) for key in idle]

    async def version(self) -> Version:
        """See AirflowClient."""
        return await self._shared.version()

    async def refresh_version(self) -> Version:
        """See AirflowClient."""
        return await self._shared.refresh_version()

    def subscribe(self, listener: Callable[[], None]) -> AbstractContextManager[None]:
        """See AirflowClient."""
        return self._shared.subscribe(listener)

    def retry_login(self) -> None:
        """See AirflowClient; of every caller."""
        for client in (self._shared, *(kept.client for kept in self._kept.values())):
            client.retry_login()

    @property
    def known_version(self) -> Version | None:
        """See AirflowClient."""
        return self._shared.known_version

    async def aclose(self) -> None:
        """Forget every login, and close the connections."""
        while self._kept:
            _, kept = self._kept.popitem()
            await kept.client.aclose()
        self._of_one.clear()
        await self._shared.aclose()


Clients = AirflowClient | CallerClients
