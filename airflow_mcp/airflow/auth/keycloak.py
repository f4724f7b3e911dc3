"""Airflow 3 with Keycloak's auth manager: Airflow's own login takes a client's id and secret."""

from __future__ import annotations

from airflow_mcp.airflow.auth.airflow_login import log_in
from airflow_mcp.airflow.auth.method import ONCE, Asked, Proof, Way
from airflow_mcp.errors import LoginError, LoginRefusedError


class Keycloak(Way):
    """The service account of a client: of the one that Airflow itself is at Keycloak, since it takes no other."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._client_id = client_id
        self._client_secret = client_secret

    def describe(self) -> str:
        """See Way."""
        return f"the Keycloak client {self._client_id!r}"

    async def prove(self, asked: Asked) -> Proof:
        """See Way."""
        if asked.generation is None:
            return Proof({}, ONCE)
        if asked.generation == "v1":
            raise LoginError('auth = "keycloak" is for Airflow 3 with Keycloak\'s auth manager, and this is Airflow 2.')
        said = {"client_id": self._client_id, "client_secret": self._client_secret}
        got = await log_in(asked.plain, {"grant_type": "client_credentials", **said})
        if isinstance(got, Proof):
            return got
        raise LoginRefusedError(
            f"Airflow's login (/auth/token) refuses {self.describe()} ({got}). It takes only the client that its "
            "[keycloak_auth_manager] client_id names, with service accounts on; is Keycloak its auth manager?"
        )
