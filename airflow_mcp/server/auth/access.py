"""Who may call over HTTP: the bearer of a token that the operator made, or that the OAuth issuer did.

What is kept of an operator's token is its SHA-256.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl

from airflow_mcp.airflow.fetch import make_fetcher
from airflow_mcp.http_tokens import PREFIX, hash_token
from airflow_mcp.server.auth.access_tokens import AccessTokens, read_audiences
from airflow_mcp.server.auth.issuer_keys import IssuerKeys
from airflow_mcp.server.auth.principal import Identity

if TYPE_CHECKING:
    from airflow_mcp.settings.http import HttpSettings, Token


@dataclass(frozen=True)
class HttpAccess:
    """How a caller is known, as the SDK takes it."""

    verifier: TokenVerifier
    settings: AuthSettings
    tokens: StaticTokens  # the operator's own, which may change at run time
    audiences: frozenset[str] = frozenset()  # that the access tokens for this server name

    def is_ours(self, token: str) -> bool:
        """Whether a token is for this server, or another like it, good or not any more."""
        return (
            token.startswith(PREFIX)
            or self.tokens.find_name(token) is not None
            or not self.audiences.isdisjoint(read_audiences(token))
        )


def build_access(settings: HttpSettings) -> HttpAccess | None:
    """The access that these settings describe; None where they name nobody."""
    oauth = settings.oauth
    if oauth is None:
        if not settings.tokens:
            return None
        unused = AnyHttpUrl("https://unused.invalid")  # the SDK wants an issuer; without a resource URL it names none
        tokens = StaticTokens(settings.tokens)
        return HttpAccess(
            tokens, AuthSettings(issuer_url=unused, resource_server_url=None, validate_token_resource=False), tokens
        )
    keys = IssuerKeys(oauth.issuer, make_fetcher(oauth.ca_file), jwks_url=oauth.jwks_url)
    tokens = StaticTokens(settings.tokens, scopes=oauth.required_scopes)
    return HttpAccess(
        AnyVerifier(tokens, AccessTokens(oauth, keys, reserved_names=tokens)),
        AuthSettings.model_validate(
            {
                "issuer_url": oauth.issuer,
                "resource_server_url": oauth.audience,
                "required_scopes": [*oauth.required_scopes] or None,
                "validate_token_resource": False,  # the audience is checked with the signature
            }
        ),
        tokens,
        frozenset({oauth.audience, *oauth.other_audiences}),
    )


class AnyVerifier:
    """Accepts what one of several verifiers does; the first that does says who it is."""

    def __init__(self, *verifiers: TokenVerifier) -> None:
        self._verifiers = verifiers

    async def verify_token(self, token: str) -> AccessToken | None:
        """Who bears this token, or None."""
        for verifier in self._verifiers:
            if found := await verifier.verify_token(token):
                return found
        return None


class StaticTokens:
    """Accepts the tokens whose digests the operator keeps. They have the `scopes` that an issuer's tokens must have."""

    def __init__(self, tokens: Mapping[str, Token], scopes: Iterable[str] = ()) -> None:
        self._tokens = dict(tokens)
        self._scopes = list(scopes)

    def __contains__(self, name: object) -> bool:
        """Whether a token has this name."""
        return name in self._tokens

    def replace(self, tokens: Mapping[str, Token]) -> None:
        """Accept these from now on, and no others; none at all lets nobody in."""
        self._tokens = dict(tokens)

    def find_name(self, token: str) -> str | None:
        """The name of this token, or None. All digests are compared, so that time tells nothing."""
        given = hash_token(token)
        found = [name for name, kept in self._tokens.items() if hmac.compare_digest(kept.sha256, given)]
        return found[-1] if found else None

    async def verify_token(self, token: str) -> Identity | None:
        """Who bears this token, or None."""
        name = self.find_name(token)
        if name is None:
            return None
        roles = tuple(f"role:{role}" for role in self._tokens[name].roles)
        return Identity(
            token=token, client_id=f"token:{name}", subject=name, scopes=self._scopes, name=name, roles=roles
        )
