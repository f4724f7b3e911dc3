"""User and password: basic authentication for Airflow 2.x, a login that gives a JWT for 3.x; or no credentials."""

from __future__ import annotations

import base64

from airflow_mcp.airflow.auth.airflow_login import log_in
from airflow_mcp.airflow.auth.auth_method import SINGLE_USE, AuthHeaders, AuthMethod, AuthRequest, SendPlain
from airflow_mcp.errors import LoginError, LoginRefusedError

_NOBODY = (
    "Airflow wants to know who is asking and no credentials are set. Set AIRFLOW_MCP_USERNAME and "
    "AIRFLOW_MCP_PASSWORD, or AIRFLOW_MCP_TOKEN."
)


class Password(AuthMethod):
    """A user of Airflow; without a name, a visitor of an Airflow that makes every visitor an admin."""

    advice = "Check AIRFLOW_MCP_USERNAME and AIRFLOW_MCP_PASSWORD."

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password

    def describe(self) -> str:
        """See AuthMethod."""
        return f"user {self._username!r}" if self._username else "no credentials"

    def _build_refusal(self) -> LoginRefusedError:
        return LoginRefusedError(
            f"Airflow does not accept user {self._username!r} with the configured password. Check AIRFLOW_MCP_USERNAME "
            "and AIRFLOW_MCP_PASSWORD; on Airflow 2.x also that [api] auth_backends has basic_auth, and that this user "
            "may read DAGs."
        )

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod. While the generation is unknown, what stands before Airflow gets basic authentication."""
        if request.generation == "v2":
            return await self._log_in(request.send_plain)
        if request.generation is None:
            return AuthHeaders(self._basic() if self._username else {}, SINGLE_USE)
        if not self._username:
            raise LoginError(_NOBODY)
        if request.refused:
            raise self._build_refusal()
        return AuthHeaders(self._basic())

    def _basic(self) -> dict[str, str]:
        """Build the header of HTTP basic authentication (RFC 7617)."""
        pair = f"{self._username}:{self._password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    async def _log_in(self, send_plain: SendPlain) -> AuthHeaders:
        """Log in at Airflow 3's own login. Raises LoginError."""
        body = {"username": self._username, "password": self._password} if self._username else None
        login = await log_in(send_plain, body)
        if isinstance(login, AuthHeaders):
            return login
        if not self._username:
            raise LoginError(_NOBODY)
        if login in (400, 401, 403, 422):
            raise self._build_refusal()
        raise LoginError(
            f"Airflow has no login for user and password (/auth/token answers {login}). Use AIRFLOW_MCP_TOKEN or "
            "AIRFLOW_MCP_TOKEN_COMMAND."
        )
