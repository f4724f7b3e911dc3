"""Airflow 3 with Keycloak's auth manager: Airflow's own login takes a client's id and secret."""

from __future__ import annotations

from airflow_mcp.airflow.auth.airflow_login import log_in
from airflow_mcp.airflow.auth.auth_method import SINGLE_USE, AuthHeaders, AuthMethod, AuthRequest
from airflow_mcp.errors import LoginError, LoginRefusedError


class Keycloak(AuthMethod):
    """The service account of the client that Airflow itself is at Keycloak, since Airflow takes no other."""

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
        client_fields = {"client_id": self._client_id, "client_secret": self._client_secret}
        login = await log_in(request.send_plain, {"grant_type": "client_credentials", **client_fields})
        if isinstance(login, AuthHeaders):
            return login
        raise LoginRefusedError(
            f"Airflow's login (/auth/token) refuses {self.describe()} ({login}). It takes only the client that its "
            "[keycloak_auth_manager] client_id names, with service accounts on; is Keycloak its auth manager?"
        )
