"""OAuth client credentials (RFC 6749, 4.4): this server is a client of the issuer that Airflow trusts."""

from __future__ import annotations

from airflow_mcp.airflow.auth.auth_method import AuthHeaders, AuthMethod, AuthRequest
from airflow_mcp.airflow.auth.token_endpoint import TokenEndpoint


class ClientCredentials(AuthMethod):
    """A token from the endpoint for a client id and secret: a new one before it expires, and after a refusal."""

    def __init__(self, endpoint: TokenEndpoint, scope: str = "", audience: str = "") -> None:
        """`audience` is a parameter that some issuers require beside the standard."""
        self._endpoint = endpoint
        self._wanted = {name: value for name, value in (("scope", scope), ("audience", audience)) if value}

    def describe(self) -> str:
        """See AuthMethod."""
        return f"the OAuth client {self._endpoint.client_id!r}"

    def retry(self) -> None:
        """See AuthMethod."""
        self._endpoint.backoff.reset()

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod."""
        del request
        return await self._endpoint.request_token({"grant_type": "client_credentials", **self._wanted})
