"""`[oauth]`: the issuer whose access tokens are accepted over HTTP, and the claims that name a token's caller."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from airflow_mcp.addresses import is_sheltered
from airflow_mcp.settings.endpoint import require_certificates

# Signatures that a public key verifies (RFC 7518, 3.1; RFC 8037). "none" has no signature, and with HMAC whoever can
# verify a token can make one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749, 3.3


class OAuthIssuer(BaseModel):
    """Issuer of access tokens (JWT, RFC 9068) for this server, which is their resource server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str  # as it stands in the tokens' `iss`, to the character
    audience: str  # this server's public address with /mcp, as in the tokens' `aud` (RFC 8707, 2; RFC 9728, 1.2)
    other_audiences: tuple[Annotated[str, Field(min_length=1)], ...] = ()  # where the issuer cannot write addresses
    jwks_url: str = ""  # address of its keys; empty takes that of the issuer's metadata
    required_scopes: tuple[str, ...] = ()  # of every token
    algorithms: tuple[str, ...] = Field(default=("RS256", "ES256"), min_length=1)
    name_claim: str = Field(default="sub", min_length=1)  # dots lead into nested claims, as in realm_access.roles
    roles_claim: str = "roles"  # likewise; empty takes no roles
    ca_file: str = ""

    @field_validator("issuer", "audience", "jwks_url")
    @classmethod
    def _cannot_be_altered(cls, value: str, info: ValidationInfo) -> str:
        if not is_sheltered(value) and (value or info.field_name != "jwks_url"):
            raise ValueError(f"must be an https address, or one on loopback, not {value[:80]!r}")
        return value

    @field_validator("issuer", "audience")
    @classmethod
    def _is_identifier(cls, value: str) -> str:
        """Require an identifier without query or fragment, in canonical form (RFC 8414, 2; RFC 9728, 1.2).

        Both identifiers are published, and compared to the character with those in tokens and requests.
        """
        if "?" in value or "#" in value:
            raise ValueError("must not have a query or a fragment")
        if (canonical := str(AnyHttpUrl(value)).rstrip("/")) != value.rstrip("/"):
            raise ValueError(f"must be written as {canonical}")
        return value

    @field_validator("required_scopes")
    @classmethod
    def _are_scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for scope in value:
            if not _SCOPE.fullmatch(scope):
                raise ValueError(f"{scope[:40]!r} is no scope: one word, without quotes or backslashes")
        return value

    @field_validator("algorithms")
    @classmethod
    def _need_a_private_key(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for algorithm in value:
            if algorithm not in ALGORITHMS:
                names = ", ".join(ALGORITHMS)
                raise ValueError(
                    f"{algorithm[:40]!r} is not accepted: tokens must be signed with a private key, by {names}"
                )
        return value

    @field_validator("ca_file")
    @classmethod
    def _holds_a_certificate(cls, value: str) -> str:
        return require_certificates(value)

    @property
    def host(self) -> str:
        """The Host header of clients that reach this server by its public address."""
        return urlsplit(self.audience).netloc.lower()
