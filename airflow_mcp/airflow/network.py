"""How an Airflow is reached: whom to trust, what certificate to show, through which proxy, with which headers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import httpx2


@dataclass(frozen=True)
class Network:
    """The way to one Airflow; its TLS context is made once for all clients of it."""

    ca_file: str = ""
    client_cert: str = ""  # PEM files
    client_key: str = ""
    proxy: str = field(default="", repr=False)  # may hold a password
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def open(self, url: str, timeout: float, transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
        """A new client, with connections and cookies of its own, for that address; `timeout` in seconds."""
        return httpx2.AsyncClient(
            timeout=timeout,
            verify=_TRUSTS_NOBODY if url.startswith("http:") else self._trust,  # reading the system's CAs costs 20 ms
            proxy=self.proxy or None,
            headers=dict(self.headers),
            transport=transport,
        )

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else httpx2.create_ssl_context()
        if self.client_cert:
            context.load_cert_chain(self.client_cert, self.client_key or None)
        return context


_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
