"""The clients of one Airflow that is called in each caller's own name: one for each caller, none shared."""

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

_MOST = 1000  # logins in memory
_MOST_OF_ONE = 10  # of one caller: a caller that sends many tokens displaces no other caller's login


@dataclass
class _PooledClient:
    client: AirflowClient
    calls: int = 0  # in progress that use it


class CallerClients:
    """Gives each caller a client with a login of its own, and keeps the most recently used ones.

    `shared` only asks for the version, for all callers. A client that is dropped is closed once no call uses it.
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
        self._of_one: Counter[str] = Counter()  # by caller, the number of clients

    @asynccontextmanager
    async def borrow(self, name: str, credentials: CallerCredentials) -> AsyncGenerator[AirflowClient, None]:
        """Lend the caller its client for the block. Raises LoginError where it presents nothing to be identified by."""
        login = self._identify(credentials)
        key = name, hash_token(login.secret)
        if (pooled_client := self._kept.get(key)) is None:
            pooled_client = self._kept[key] = _PooledClient(self._shared.make_sibling(login.method))
            self._of_one[name] += 1
        self._kept.move_to_end(key)
        pooled_client.calls += 1
        try:
            yield pooled_client.client.with_share(credentials.share)
        finally:
            pooled_client.calls -= 1
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        """Close the least recently used clients beyond the limits, of this caller and of all."""
        surplus_clients = self._remove_unused(self._of_one[name] - self._most_of_one, name)
        surplus_clients += self._remove_unused(len(self._kept) - self._most)
        with anyio.CancelScope(shield=True):
            for pooled_client in surplus_clients:
                await pooled_client.client.aclose()

    def _remove_unused(self, surplus: int, name: str | None = None) -> list[_PooledClient]:
        """Remove up to `surplus` clients that no call uses, of this caller or of all, and return them."""
        if surplus <= 0:
            return []
        idle_keys = [key for key, client in self._kept.items() if not client.calls and name in (None, key[0])][:surplus]
        self._of_one.subtract(key[0] for key in idle_keys)
        self._of_one = +self._of_one  # drops callers without clients
        return [self._kept.pop(key) for key in idle_keys]

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
        """See AirflowClient; it applies to every caller."""
        for client in (self._shared, *(pooled_client.client for pooled_client in self._kept.values())):
            client.retry_login()

    @property
    def known_version(self) -> Version | None:
        """See AirflowClient."""
        return self._shared.known_version

    async def aclose(self) -> None:
        """Forget every login, and close the connections."""
        while self._kept:
            _, pooled_client = self._kept.popitem()
            await pooled_client.client.aclose()
        self._of_one.clear()
        await self._shared.aclose()


Clients = AirflowClient | CallerClients
