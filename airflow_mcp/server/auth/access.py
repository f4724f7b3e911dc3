"""Authentication over HTTP: by a token that the operator made, or by an access token of the OAuth issuer.

Of an operator's token only its SHA-256 is stored.
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
    """The authentication of callers: the SDK's verifier and settings, and the operator's tokens."""

    verifier: TokenVerifier
    settings: AuthSettings
    tokens: StaticTokens  # made by the operator; may change at run time
    audiences: frozenset[str] = frozenset()  # of the access tokens for this server

    def is_ours(self, token: str) -> bool:
        """Tell whether a token is for this server or another airflow-mcp, valid or expired."""
        return (
            token.startswith(PREFIX)
            or self.tokens.find_name(token) is not None
            or not self.audiences.isdisjoint(read_audiences(token))
        )


def build_access(settings: HttpSettings) -> HttpAccess | None:
    """Return the access that these settings describe; None where they have neither tokens nor an issuer."""
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
    """Accepts a token that any of several verifiers accepts, with the identity of the first that does."""

    def __init__(self, *verifiers: TokenVerifier) -> None:
        self._verifiers = verifiers

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the identity of the bearer, or None for an unknown token."""
        for verifier in self._verifiers:
            if found := await verifier.verify_token(token):
                return found
        return None


class StaticTokens:
    """Accepts tokens by the digests in the settings; each gets the `scopes` that an issuer's tokens must have."""

    def __init__(self, tokens: Mapping[str, Token], scopes: Iterable[str] = ()) -> None:
        self._tokens = dict(tokens)
        self._scopes = list(scopes)

    def __contains__(self, name: object) -> bool:
        """Tell whether a token has this name."""
        return name in self._tokens

    def replace(self, tokens: Mapping[str, Token]) -> None:
        """Accept only these tokens from now on; an empty mapping lets nobody in."""
        self._tokens = dict(tokens)

    def find_name(self, token: str) -> str | None:
        """Return the name of this token, or None. All digests are compared, so that timing reveals nothing."""
        digest = hash_token(token)
        names = [name for name, token_entry in self._tokens.items() if hmac.compare_digest(token_entry.sha256, digest)]
        return names[-1] if names else None

    async def verify_token(self, token: str) -> Identity | None:
        """Return the identity of the bearer, or None for an unknown token."""
        name = self.find_name(token)
        if name is None:
            return None
        roles = tuple(f"role:{role}" for role in self._tokens[name].roles)
        return Identity(
            token=token, client_id=f"token:{name}", subject=name, scopes=self._scopes, name=name, roles=roles
        )
