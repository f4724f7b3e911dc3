"""How to reach an Airflow: the trusted CAs, the client certificate, the proxy, and extra headers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2


@dataclass(frozen=True)
class Network:
    """The network settings of one Airflow; its TLS context is made once for all clients of it."""

    ca_file: str = ""
    client_cert: str = ""  # PEM files
    client_key: str = ""
    proxy: str = field(default="", repr=False)  # may hold a password
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def open(self, url: str, timeout: float, transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
        """Open a new client for that address, with connections of its own and without cookies; `timeout` in seconds.

        Every request authenticates itself, and one caller's cookie would authenticate another caller.
        """
        return httpx2.AsyncClient(
            timeout=timeout,
            verify=_TRUSTS_NOBODY if url.startswith("http:") else self._trust,  # reading the system's CAs costs 20 ms
            proxy=self.proxy or None,
            headers=dict(self.headers),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            transport=transport,
        )

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else httpx2.create_ssl_context()
        if self.client_cert:
            context.load_cert_chain(self.client_cert, self.client_key or None)
        return context


class Connections:
    """The connections to one Airflow, opened on first use; the clients of all its callers share them."""

    def __init__(
        self, url: str, timeout: float, network: Network, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`timeout` in seconds; `transport` stands in for the network."""
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
        self.are_proxied = bool(network.proxy) or (scheme in getproxies() and not proxy_bypass(host))
        self._open = partial(network.open, url, timeout, transport)
        self._http: httpx2.AsyncClient | None = None

    @property
    def http(self) -> httpx2.AsyncClient:
        """The HTTP client that sends over these connections."""
        if self._http is None:
            self._http = self._open()
        return self._http

    async def aclose(self) -> None:
        """Close the connections; the next request opens others."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None


_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
