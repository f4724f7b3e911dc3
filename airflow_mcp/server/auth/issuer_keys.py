"""The signing keys of an OAuth issuer: located by its metadata, cached an hour, fetched anew for an unknown id."""

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
_OLDEST = 3600.0  # seconds until keys are fetched again, so that a withdrawn one does not stay valid here
_REST = 60.0  # seconds between two fetches, so that invented key ids do not make this server flood the issuer
_REST_WITHOUT_KEYS = 1.0  # seconds; without any key nobody gets in, so the next fetch comes sooner


@dataclass(frozen=True)
class Key:
    """A public key, and the algorithm that its issuer uses it with; empty where the issuer names none."""

    public: Any
    algorithm: str = ""


class IssuerKeys:
    """Caches the keys of one issuer, which `fetch` gets. `clock` counts seconds."""

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
        """Return the key of this id (RFC 7515, 4.1.4), or None. Never raises: earlier keys outlive a failed fetch."""
        if self._is_renewal_due(kid):
            async with self._lock:
                if self._is_renewal_due(kid):  # another request may have fetched while this one waited
                    await self._renew()
        return self._keys.get(kid)

    def _is_renewal_due(self, kid: str) -> bool:
        now = self._clock()
        missing = kid not in self._keys or now - self._fetched_at > _OLDEST
        return missing and now >= self._rests_until

    async def _renew(self) -> None:
        had_no_keys = not self._keys
        try:
            self._keys = read_keys(await self._fetch_document())
            self._fetched_at = self._clock()
            # The first fetch fills the empty cache: it does not delay the fetch for an unknown id.
            self._rests_until = 0.0 if had_no_keys else self._fetched_at + _REST
        except FetchError as error:
            self._rests_until = self._clock() + (_REST_WITHOUT_KEYS if had_no_keys else _REST)
            consequence = "so nobody gets in with a token of it" if had_no_keys else "so those of before are used"
            _log.warning("the keys of the OAuth issuer %s cannot be had, %s: %s", self._issuer, consequence, error)

    async def _fetch_document(self) -> Json:
        """Return the issuer's key set (RFC 7517, 5). Raises FetchError when it cannot be fetched."""
        url = self._jwks_url or await self._discover_url()
        document = await self._fetch(url)
        if document is None:
            raise FetchError(f"there is no key set at {url} itself.")
        return document

    async def _discover_url(self) -> str:
        """Return the URL of the key set in the issuer's metadata. Raises FetchError when no metadata names it."""
        for url in list_metadata_urls(self._issuer):
            if (metadata := await self._fetch(url)) is None:
                continue
            if metadata.get("issuer") != self._issuer:  # RFC 8414, 3.3: metadata of another issuer must not be used
                issuer = shorten(clean(str(metadata.get("issuer"))), 100)
                raise FetchError(f"{url} calls its issuer {issuer}, which must be oauth.issuer to the character.")
            if isinstance(jwks_url := metadata.get("jwks_uri"), str):
                return jwks_url
        raise FetchError("it has no metadata that names its keys; oauth.jwks_url can.")


def list_metadata_urls(issuer: str) -> list[str]:
    """List the URLs where an issuer may publish its metadata (RFC 8414, 3.1 and 5; OpenID Connect Discovery 1.0, 4)."""
    parts = urlsplit(issuer)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    urls = [f"{host}/.well-known/{kind}{path}" for kind in ("oauth-authorization-server", "openid-configuration")]
    return [*urls, f"{host}{path}/.well-known/openid-configuration"] if path else urls


def read_keys(document: Json) -> dict[str, Key]:
    """Return the public keys for signatures in a key set, by id. Raises FetchError when it has none."""
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
