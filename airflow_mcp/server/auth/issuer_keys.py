"""The keys an OAuth issuer signs with: found by its metadata, kept an hour, and asked for anew when one is unknown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
from jwt import PyJWK, PyJWTError

from airflow_mcp.errors import FetchError
from airflow_mcp.text import clean, shorten

if TYPE_CHECKING:
    from airflow_mcp.airflow.fetch import Fetch
    from airflow_mcp.catalog.grammar import Json

_log = logging.getLogger(__name__)
_OLDEST = 3600.0  # seconds until keys are asked for again, so that one the issuer withdrew does not live on here
_REST = 60.0  # seconds between two fetches: whoever invents key ids must not make this server a nuisance to the issuer
_REST_WITHOUT_KEYS = 1.0  # while there are none at all nobody gets in, so the issuer is missed sooner


@dataclass(frozen=True)
class Key:
    """A public key, and the one algorithm its issuer uses it with; empty where the issuer does not say."""

    public: Any
    algorithm: str = ""


class IssuerKeys:
    """What `fetch` finds of one issuer. `clock` counts seconds."""

    def __init__(
        self, issuer: str, fetch: Fetch, *, jwks_url: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._jwks_url = jwks_url
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched_at = 0.0
        self._rests_until = 0.0
        self._lock = anyio.Lock()

    async def find(self, kid: str) -> Key | None:
        """The key of this id (RFC 7515, 4.1.4), or None. Never raises: keys that were had before are kept."""
        if self._is_renewal_due(kid):
            async with self._lock:
                if self._is_renewal_due(kid):  # whoever waited is served by the fetch it waited for
                    await self._renew()
        return self._keys.get(kid)

    def _is_renewal_due(self, kid: str) -> bool:
        now = self._clock()
        missing = kid not in self._keys or now - self._fetched_at > _OLDEST
        return missing and now >= self._rests_until

    async def _renew(self) -> None:
        first = not self._keys
        try:
            self._keys = read_keys(await self._fetch_document())
            self._fetched_at = self._clock()
            # The very first fetch is no answer to an unknown id: the next unknown one may ask.
            self._rests_until = 0.0 if first else self._fetched_at + _REST
        except FetchError as error:
            self._rests_until = self._clock() + (_REST_WITHOUT_KEYS if first else _REST)
            kept = "so nobody gets in with a token of it" if first else "so those of before are used"
            _log.warning("the keys of the OAuth issuer %s cannot be had, %s: %s", self._issuer, kept, error)

    async def _fetch_document(self) -> Json:
        """The issuer's key set (RFC 7517, 5). Raises FetchError."""
        url = self._jwks_url or await self._discover_url()
        document = await self._fetch(url)
        if document is None:
            raise FetchError(f"there is no key set at {url} itself.")
        return document

    async def _discover_url(self) -> str:
        """Where the issuer's metadata says that its keys are. Raises FetchError."""
        for url in list_metadata_urls(self._issuer):
            if (metadata := await self._fetch(url)) is None:
                continue
            if metadata.get("issuer") != self._issuer:  # RFC 8414, 3.3: whose metadata is it?
                said = shorten(clean(str(metadata.get("issuer"))), 100)
                raise FetchError(f"{url} calls its issuer {said}, which must be oauth.issuer to the character.")
            if isinstance(jwks_url := metadata.get("jwks_uri"), str):
                return jwks_url
        raise FetchError("it has no metadata that names its keys; oauth.jwks_url can.")


def list_metadata_urls(issuer: str) -> list[str]:
    """Where an issuer may keep its metadata (RFC 8414, 3.1 and 5; OpenID Connect Discovery 1.0, 4)."""
    parts = urlsplit(issuer)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    urls = [f"{host}/.well-known/{kind}{path}" for kind in ("oauth-authorization-server", "openid-configuration")]
    return [*urls, f"{host}{path}/.well-known/openid-configuration"] if path else urls


def read_keys(document: Json) -> dict[str, Key]:
    """The public keys for signatures in a key set, by id; others are passed over. Raises FetchError without any."""
    keys: dict[str, Key] = {}
    entries = document.get("keys")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        kid, algorithm, use = entry.get("kid"), entry.get("alg", ""), entry.get("use", "sig")
        if not isinstance(kid, str) or not kid or not isinstance(algorithm, str) or use != "sig":
            continue
        try:
            keys[kid] = Key(PyJWK(entry).key, algorithm)
        except (PyJWTError, ValueError, TypeError):
            _log.warning("a key of the OAuth issuer cannot be used: %s", shorten(clean(kid), 100))
    if not keys:
        raise FetchError("its key set holds no key with an id (kid) for signatures.")
    return keys
