"""A stand-in for an OAuth issuer on loopback: metadata, keys that rotate, and the tokens that it signs."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.http.upstream import listening

AUDIENCE = "https://mcp.example.com/mcp"
OPENID = "/.well-known/openid-configuration"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_jwk(key: PrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    """The public half as an entry of a key set."""
    match key:
        case rsa.RSAPrivateKey():
            text = RSAAlgorithm.to_jwk(key.public_key())
        case ec.EllipticCurvePrivateKey():
            text = ECAlgorithm.to_jwk(key.public_key())
        case ed25519.Ed25519PrivateKey():
            text = OKPAlgorithm.to_jwk(key.public_key())
    return {**json.loads(text), "kid": kid, "use": "sig", **more}


@dataclass
class Issuer:
    """What it says when asked, which a test may change while it is served."""

    path: str = ""  # of its identifier, as the realm of a Keycloak
    metadata_at: str = OPENID  # in front of or behind that path: the whole path of its metadata
    url: str = ""
    audience: str = AUDIENCE
    down: bool = False
    keys: Mapping[str, PrivateKey] = field(default_factory=lambda: {"one": rsa_key()})
    extra_keys: list[Any] = field(default_factory=list)  # entries of the key set as they are
    metadata: dict[str, Any] = field(default_factory=dict)  # what it says otherwise than it should
    asked: list[str] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)  # the scopes that clients asked for

    def token(
        self,
        *,
        kid: str = "one",
        algorithm: str = "RS256",
        header: dict[str, Any] | None = None,
        lasts: int = 300,
        **claims: Any,
    ) -> str:
        """A token that it signed, with another key by another algorithm; a claim given as None is left out."""
        now = int(time.time())
        whole = {"iss": self.url, "aud": self.audience, "sub": "ann", "azp": "a-client", "iat": now, "exp": now + lasts}
        said = {name: value for name, value in (whole | claims).items() if value is not None}
        return jwt.encode(said, self.keys[kid], algorithm, {"kid": kid, **(header or {})})

    def config(self, **more: Any) -> str:
        """The lines of a configuration that accept its tokens."""
        table = {"issuer": self.url, "audience": self.audience, **more}
        return "[oauth]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path)
        if self.down:
            return JSONResponse({"error": "down"}, 503)
        if path == self.metadata_at:
            told = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", "token_endpoint": f"{self.url}/token"}
            told |= {"authorization_endpoint": f"{self.url}/authorize", "response_types_supported": ["code"]}
            return JSONResponse(told | self.metadata)
        if path == f"{self.path}/jwks":
            keys = [public_jwk(key, kid) for kid, key in self.keys.items()]
            return JSONResponse({"keys": [*self.extra_keys, *keys]})
        if path == f"{self.path}/token":
            scope = str((await request.form()).get("scope", ""))
            self.granted.append(scope)
            token = self.token(sub="a-machine", scope=scope)
            return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": scope})
        return JSONResponse({"error": "not found"}, 404)

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.asked.count(f"{self.path}/jwks")


@contextmanager
def issuing(issuer: Issuer) -> Generator[Issuer]:
    """The same issuer, served on loopback for the block."""
    routes = [Route("/{path:path}", issuer.answer, methods=["GET", "POST"])]
    with listening(Starlette(routes=routes)) as url:
        issuer.url = f"{url}{issuer.path}"
        yield issuer
