"""OAuth client credentials (RFC 6749, 4.4): this server is a client of the issuer that Airflow trusts."""

from __future__ import annotations

from airflow_mcp.airflow.auth.method import Asked, Proof, Way
from airflow_mcp.airflow.auth.token_endpoint import TokenEndpoint


class ClientCredentials(Way):
    """A token that its endpoint gives for a client id and secret: a new one before it expires, and when refused."""

    def __init__(self, endpoint: TokenEndpoint, scope: str = "", audience: str = "") -> None:
        """`audience` is what some issuers ask for beside the standard."""
        self._endpoint = endpoint
        self._wanted = {name: value for name, value in (("scope", scope), ("audience", audience)) if value}

    def describe(self) -> str:
        """See Way."""
        return f"the OAuth client {self._endpoint.client_id!r}"

    def retry(self) -> None:
        """See Way."""
        self._endpoint.backoff.reset()

    async def prove(self, asked: Asked) -> Proof:
        """See Way."""
        del asked
        return await self._endpoint.ask({"grant_type": "client_credentials", **self._wanted})
