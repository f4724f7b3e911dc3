"""Who may call over HTTP: the bearer of a token that the operator made. What is kept of a token is its SHA-256."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl

from airflow_mcp.server.identity import Identity
from airflow_mcp.tokens import digest

if TYPE_CHECKING:
    from airflow_mcp.settings.http import HttpSettings, Token


@dataclass(frozen=True)
class Access:
    """How a caller is known, as the SDK takes it."""

    verifier: TokenVerifier
    settings: AuthSettings


def access_of(settings: HttpSettings) -> Access | None:
    """The access that these settings describe; None where they name nobody."""
    if not settings.tokens:
        return None
    unused = AnyHttpUrl("https://unused.invalid")  # the SDK wants an issuer; without a resource URL it names none
    return Access(
        StaticTokens(settings.tokens),
        AuthSettings(issuer_url=unused, resource_server_url=None, validate_token_resource=False),
    )


class StaticTokens:
    """Accepts the tokens whose digests the operator keeps."""

    def __init__(self, tokens: Mapping[str, Token]) -> None:
        self._tokens = dict(tokens)

    async def verify_token(self, token: str) -> Identity | None:
        """Who bears this token, or None. All digests are compared, so that time tells nothing."""
        given = digest(token)
        found: Identity | None = None
        for name, kept in self._tokens.items():
            if hmac.compare_digest(kept.sha256, given):
                roles = tuple(f"role:{role}" for role in kept.roles)
                found = Identity(
                    token=token, client_id=f"token:{name}", subject=name, scopes=[], name=name, roles=roles
                )
        return found
