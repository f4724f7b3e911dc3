"""Access tokens of an OAuth issuer (JWT, RFC 9068 and RFC 8725): their checks, and the identity in them."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

import jwt

from airflow_mcp.http_tokens import LOCAL
from airflow_mcp.policy.decision import NO_NAMES
from airflow_mcp.server.auth.principal import Identity
from airflow_mcp.text import clean, shorten
from airflow_mcp.throttle import Throttle

if TYPE_CHECKING:
    from airflow_mcp.catalog.grammar import Json
    from airflow_mcp.server.auth.issuer_keys import IssuerKeys
    from airflow_mcp.settings.oauth_issuer import OAuthIssuer

_log = logging.getLogger(__name__)
_LARGEST = 16 * 1024  # characters of a token
_LONGEST_NAME = 200
_PATTERN = frozenset("*?[]")  # characters of patterns in rules: no rule could name a caller with one of them alone
# Characters that are invisible though printable to Python: variation selectors and fillers (Unicode 16,
# Default_Ignorable_Code_Point beyond what text.py knows), the blank Braille cell, the null note head.
_BLANK = re.compile("[\u034f\u2800\ufe00-\ufe0f\U00016fe4\U0001d159\U0001bca0-\U0001bca3\U000e0000-\U000e0fff]")
_QUIET = 10.0  # seconds between two log lines about tokens that anyone can send
_LEEWAY = 30  # seconds that two clocks may differ by
_REQUIRED = ["exp", "iss", "aud", "sub"]
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})  # RFC 9068, 2.1; older issuers say JWT or nothing
_OTHER_TYPES = frozenset({"id", "refresh", "offline", "logout"})  # what Keycloak writes into the claim `typ`


class RefusedTokenError(Exception):
    """This token is refused; `genuine` is whether the issuer signed it, so that nobody else can make such tokens."""

    def __init__(self, reason: str, *, genuine: bool = False) -> None:
        super().__init__(reason)
        self.genuine = genuine


class AccessTokens:
    """Accepts the tokens that one issuer made for this server, except those whose name is among `reserved_names`."""

    def __init__(
        self,
        settings: OAuthIssuer,
        keys: IssuerKeys,
        reserved_names: Container[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._reserved_names = reserved_names
        self._sometimes = Throttle(_log, _QUIET, clock)

    async def verify_token(self, token: str) -> Identity | None:
        """Return the identity of the bearer, or None with the reason logged. Never raises: the SDK would answer 500."""
        try:
            claims = await self._read_claims(token)
            return self._build_identity(token, claims)
        except RefusedTokenError as reason:
            self._log_refusal(reason)
            return None

    def _log_refusal(self, reason: RefusedTokenError) -> None:
        sentence = f"an access token was refused: {reason}"
        if reason.genuine:
            _log.warning("%s", sentence)
        else:
            self._sometimes.warn("token", sentence)

    async def _read_claims(self, token: str) -> Json:
        """Return the verified claims of a token. Raises RefusedTokenError when it is not valid for this server."""
        if len(token) > _LARGEST:
            raise RefusedTokenError(f"it has more than {_LARGEST} characters")
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = self._read_header(header)
            key = await self._keys.find(kid)
            if key is None or key.algorithm not in ("", algorithm):
                raise RefusedTokenError("the issuer has no such key")
            return jwt.decode(
                token,
                key.public,
                algorithms=[algorithm],
                issuer=self._settings.issuer,
                audience=[self._settings.audience, *self._settings.other_audiences],
                leeway=_LEEWAY,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError, jwt.MissingRequiredClaimError) as error:
            expected = f"iss {self._settings.issuer} and aud {self._settings.audience} are wanted"
            raise RefusedTokenError(f"{error}; {expected}", genuine=True) from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise RefusedTokenError(shorten(clean(str(error)), 200)) from None

    def _read_header(self, header: Json) -> tuple[str, str]:
        """Return algorithm and key id. Raises RefusedTokenError for a header of no access token (RFC 8725, 3)."""
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "")
        if not isinstance(algorithm, str) or algorithm not in self._settings.algorithms:
            raise RefusedTokenError("its algorithm is not among oauth.algorithms")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise RefusedTokenError("its header says that it is something else than an access token")
        if not isinstance(kid, str) or not kid:
            raise RefusedTokenError("it does not name its key (kid)")
        return algorithm, kid

    def _build_identity(self, token: str, claims: Json) -> Identity:
        """Return the identity in the claims. Raises RefusedTokenError when they must not pass for a caller's."""
        if str(claims.get("typ", "")).lower() in _OTHER_TYPES:
            raise RefusedTokenError("it is an ID or refresh token, not an access token", genuine=True)
        if "cnf" in claims:  # RFC 7800: valid only together with its client's key, which is not checked here
            raise RefusedTokenError(
                "it is bound to a key of its client (cnf), which bearer tokens are not", genuine=True
            )
        scopes = self._read_words(claims, "scope" if "scope" in claims else "scp", split=True)
        roles = self._read_words(claims, self._settings.roles_claim) if self._settings.roles_claim else []
        return Identity(
            token=token,
            # With issuer and subject this identifies the owner of a session and of a question.
            client_id=_read_text(claims, "azp") or _read_text(claims, "client_id"),
            subject=claims["sub"],
            claims={"iss": claims["iss"]},
            scopes=scopes,
            expires_at=int(claims["exp"]) + _LEEWAY,  # the SDK checks it again, without leeway
            resource=self._settings.audience,
            name=self._read_name(claims),
            issued=True,
            roles=(*(f"role:{role}" for role in roles), *(f"scope:{scope}" for scope in scopes)),
        )

    def _read_name(self, claims: Json) -> str:
        claim = self._settings.name_claim
        name = find_claim(claims, claim)
        if isinstance(name, str) and len(name) > _LONGEST_NAME:
            raise RefusedTokenError(f"its {claim} has more than {_LONGEST_NAME} characters", genuine=True)
        if not isinstance(name, str) or name.splitlines() != [name] or name.strip() != name:
            raise RefusedTokenError(f"its {claim} (oauth.name_claim) is no name", genuine=True)
        if not name.isprintable() or clean(name) != name or _BLANK.search(name):
            raise RefusedTokenError(f"its {claim} (oauth.name_claim) holds characters that are not seen", genuine=True)
        if not _PATTERN.isdisjoint(name):
            raise RefusedTokenError(
                f"its {claim} is {name!r}, and a name with *, ?, [ or ] would be a pattern in rules", genuine=True
            )
        if name in self._reserved_names:
            raise RefusedTokenError(
                f"its {claim} is {name!r}, and [tokens.{name}] is somebody else of that name: rename one", genuine=True
            )
        if name == LOCAL or name.startswith(NO_NAMES):
            raise RefusedTokenError(f"its {claim} is {name!r}, which means something else in rules", genuine=True)
        if claim == "email" and claims.get("email_verified") is False:
            raise RefusedTokenError("its email is not verified", genuine=True)
        return name

    @staticmethod
    def _read_words(claims: Json, claim: str, *, split: bool = False) -> list[str]:
        """Return the strings of a claim, empty without it; `split` cuts a single string at spaces (RFC 6749, 3.3)."""
        value = find_claim(claims, claim)
        match value:
            case None:
                return []
            case str():
                return value.split() if split else [value]
            case [*words] if all(isinstance(word, str) for word in words):
                return words
            case _:  # a deny rule may name a role that cannot be read
                raise RefusedTokenError(f"its {claim} is no list of texts", genuine=True)


def read_audiences(token: str) -> frozenset[str]:
    """Return the audiences of a JWT (RFC 7519, 4.1.3), unverified; empty where it is no JWT or names none."""
    try:
        audiences = jwt.decode(token, options={"verify_signature": False}).get("aud")
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        return frozenset()
    return frozenset(
        text for text in (audiences if isinstance(audiences, list) else [audiences]) if isinstance(text, str)
    )


def find_claim(claims: Json, path: str) -> Any:
    """Return a claim by its name, or by a path of names with dots into nested claims; None where it is missing."""
    if path in claims:  # some names hold dots: https://example.com/roles
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _read_text(claims: Json, claim: str) -> str:
    value = claims.get(claim)
    return value if isinstance(value, str) else ""
