"""Airflow 3 with Keycloak's auth manager: Airflow's own login takes a client's id and secret."""

from __future__ import annotations

from airflow_mcp.airflow.auth.airflow_login import log_in
from airflow_mcp.airflow.auth.auth_method import SINGLE_USE, AuthHeaders, AuthMethod, AuthRequest
from airflow_mcp.errors import LoginError, LoginRefusedError


class Keycloak(AuthMethod):
    """The service account of a client: of the one that Airflow itself is at Keycloak, since it takes no other."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._client_id = client_id
        self._client_secret = client_secret

    def describe(self) -> str:
        """See AuthMethod."""
        return f"the Keycloak client {self._client_id!r}"

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod."""
        if request.generation is None:
            return AuthHeaders({}, SINGLE_USE)
        if request.generation == "v1":
            raise LoginError('auth = "keycloak" is for Airflow 3 with Keycloak\'s auth manager, and this is Airflow 2.')
        said = {"client_id": self._client_id, "client_secret": self._client_secret}
        got = await log_in(request.send_plain, {"grant_type": "client_credentials", **said})
        if isinstance(got, AuthHeaders):
            return got
        raise LoginRefusedError(
            f"Airflow's login (/auth/token) refuses {self.describe()} ({got}). It takes only the client that its "
            "[keycloak_auth_manager] client_id names, with service accounts on; is Keycloak its auth manager?"
        )
