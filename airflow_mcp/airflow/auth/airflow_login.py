"""Airflow 3's own login, /auth/token: a JWT of its own for a password, a client's secret or an issuer's token."""

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
    """The JWT that Airflow gives to who says this (nothing: a visitor), or the status with which it refuses.

    Raises LoginError for an answer without a token, and AirflowError where Airflow fails.
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
    """Seconds that a JWT is good for by its own claims (RFC 7519, 4.1: exp - iat); infinite where it does not say.

    Keycloak's auth manager puts Keycloak's token into the claims, and Airflow refuses everything once that has ended.
    """
    claims = _claims(token)
    begins, ends, within = claims.get("iat"), claims.get("exp"), claims.get("access_token")
    whole = math.inf
    if isinstance(begins, int | float) and isinstance(ends, int | float):
        whole = float(min(ends - begins, LONGEST))
    return min(whole, read_lifetime(within)) if isinstance(within, str) else whole


def _claims(token: str) -> dict[str, Any]:
    """What it says of itself, unchecked: nothing is believed for it but when to ask for another."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
