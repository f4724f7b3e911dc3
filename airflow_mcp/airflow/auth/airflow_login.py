"""Airflow 3's own login, /auth/token: it gives a JWT for a password, a client's secret or an issuer's token."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import anyio

from airflow_mcp.airflow.auth.auth_method import EARLY, LONGEST, AuthHeaders, SendPlain, build_bearer, is_token
from airflow_mcp.errors import AirflowError, LoginError

_PATH = "/auth/token"


async def log_in(send_plain: SendPlain, body: dict[str, str] | None) -> AuthHeaders | int:
    """Log in; return the headers with Airflow's JWT, or the status of a refusal. Without a body, log in as a visitor.

    Raises LoginError for an answer without a token, and AirflowError where Airflow fails (5xx).
    """
    status, content = await send_plain("POST" if body else "GET", _PATH, body)
    if status >= 500:
        raise AirflowError(f"Airflow failed at logging in ({status}). Try again in a moment.", status)
    if status not in (200, 201):
        return status
    try:
        token = json.loads(content)["access_token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        token = None
    if not isinstance(token, str) or not is_token(token):
        raise LoginError(f"Airflow's {_PATH} answered without a token. Use AIRFLOW_MCP_TOKEN instead.")
    return build_bearer(token, anyio.current_time() + read_lifetime(token) - EARLY)


def read_lifetime(token: str) -> float:
    """Return a JWT's lifetime in seconds by its own claims (RFC 7519, 4.1: exp - iat); infinite without them.

    Keycloak's auth manager puts Keycloak's token into the claims, and Airflow refuses every request once that has
    expired.
    """
    claims = _claims(token)
    issue_time, expiry_time, inner_token = claims.get("iat"), claims.get("exp"), claims.get("access_token")
    lifetime = math.inf
    if isinstance(issue_time, int | float) and isinstance(expiry_time, int | float):
        lifetime = float(min(expiry_time - issue_time, LONGEST))
    return min(lifetime, read_lifetime(inner_token)) if isinstance(inner_token, str) else lifetime


def _claims(token: str) -> dict[str, Any]:
    """Read a JWT's claims without checking them: they only decide when to request another token."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
