"""A token that the issuer did not make for this server opens nothing, and its operator can read why."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Generator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mcp.server.auth.provider import principal_components

from airflow_mcp.airflow.fetch import make_fetcher
from airflow_mcp.server.auth.access_tokens import AccessTokens
from airflow_mcp.server.auth.issuer_keys import IssuerKeys
from airflow_mcp.settings.oauth_issuer import ALGORITHMS, OAuthIssuer
from tests.http.issuer import AUDIENCE, Issuer, PrivateKey, issuing, public_jwk, rsa_key
from tests.http.serving import Served, accepted, serving
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
SHARED_SECRET = "a secret that is long enough for HMAC with SHA-256"
STRANGER, BOUND, WEAK = rsa_key(), rsa_key(), rsa_key(1024)


def segment(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def issuer() -> Generator[Issuer]:
    keys = {"one": rsa_key(), "curve": ec.generate_private_key(ec.SECP256R1()), "weak": WEAK}
    secret = {"kty": "oct", "kid": "shared", "k": segment(SHARED_SECRET.encode()), "alg": "HS256"}
    hidden = public_jwk(STRANGER, "for-encryption", use="enc")
    bound = public_jwk(BOUND, "for-rs512", alg="RS512")
    broken = [{"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"}, {"kty": "RSA"}, "text", None, {"kid": 1}]
    with issuing(Issuer(keys=keys, extra_keys=[secret, hidden, bound, *broken])) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(airflow: FakeAirflow, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    algorithms = ["RS256", "RS512", "ES256"]
    config = accepted("bob", "token-of-bob") + issuer.config(algorithms=algorithms)
    with serving(airflow, tmp_path_factory.mktemp("guarded"), config=config) as served:
        yield served


def status(server: Served, token: str) -> int:
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}".encode("latin-1")}
    modern = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    body = {**LIST, "params": {"_meta": modern}}
    sent = {**headers, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}
    return server.request("POST", "/mcp", json=body, headers=sent).status_code


ACCEPTED: dict[str, Callable[[Issuer], str]] = {
    "as it should be": lambda issuer: issuer.token(),
    "signed on a curve": lambda issuer: issuer.token(kid="curve", algorithm="ES256"),
    "for several audiences": lambda issuer: issuer.token(aud=["account", AUDIENCE]),
    "an access token by its type": lambda issuer: issuer.token(header={"typ": "at+jwt"}),
    "an access token by its media type": lambda issuer: issuer.token(header={"typ": "application/AT+JWT"}),
    "just expired, by a clock that is ahead": lambda issuer: issuer.token(lasts=-15),
    "valid soon, by a clock that is behind": lambda issuer: issuer.token(nbf=int(time.time()) + 15),
    "of another algorithm that the operator named": lambda issuer: signed(issuer, BOUND, "RS512", "for-rs512"),
    "of a key that names no algorithm": lambda issuer: signed(issuer, issuer.keys["one"], "RS512", "one"),
    "without a client": lambda issuer: issuer.token(azp=None),
    "with a client of another kind": lambda issuer: issuer.token(azp=7, client_id=["x"]),
    "of a name beyond ASCII": lambda issuer: issuer.token(sub="Zoë"),
    "large": lambda issuer: issuer.token(roles=[f"role-{number}" for number in range(700)]),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_token_of_the_issuer_for_this_server_is_accepted(guarded: Served, issuer: Issuer, case: str) -> None:
    assert status(guarded, ACCEPTED[case](issuer)) == 200


def hmac_with_the_public_key(issuer: Issuer) -> str:
    """Signed with what everybody knows, in the hope that the server checks with it."""
    public = issuer.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    signing = f"{segment({'alg': 'HS256', 'typ': 'JWT', 'kid': 'one'})}.{segment(claims)}"
    return f"{signing}.{segment(hmac.digest(public, signing.encode(), 'sha256'))}"


def signed(issuer: Issuer, key: Any, algorithm: str, kid: str | None, **header: Any) -> str:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    return jwt.encode(claims, key, algorithm, {**({"kid": kid} if kid else {}), **header})


def by_hand(issuer: Issuer, key: rsa.RSAPrivateKey, kid: str) -> str:
    """Signed without PyJWT, which warns of such a key."""
    body = issuer.token().split(".")[1]
    signing = f"{segment({'alg': 'RS256', 'kid': kid})}.{body}"
    return f"{signing}.{segment(key.sign(signing.encode(), PKCS1v15(), SHA256()))}"


def altered(token: str, **claims: Any) -> str:
    head, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{segment(said | claims)}.{signature}"


NOT_SIGNED: dict[str, Callable[[Issuer], str]] = {
    "expired": lambda issuer: issuer.token(lasts=-60),
    "not yet valid": lambda issuer: issuer.token(nbf=int(time.time()) + 60),
    "issued in the future": lambda issuer: issuer.token(iat=int(time.time()) + 60),
    "altered": lambda issuer: altered(issuer.token(), sub="admin"),
    "without its signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "alg none": lambda issuer: signed(issuer, None, "none", "one"),
    "alg none in capitals": lambda issuer: f"{segment({'alg': 'NONE', 'kid': 'one'})}.{issuer.token().split('.')[1]}.",
    "HMAC with the public key": hmac_with_the_public_key,
    "HMAC with a secret of the key set": lambda issuer: signed(issuer, SHARED_SECRET, "HS256", "shared"),
    "signed by a stranger": lambda issuer: signed(issuer, STRANGER, "RS256", "one"),
    "signed by a stranger who brings the key": lambda issuer: signed(
        issuer, STRANGER, "RS256", "theirs", jwk=public_jwk(STRANGER, "theirs")
    ),
    "of an unknown key": lambda issuer: signed(issuer, STRANGER, "RS256", "unknown"),
    "of a key for encryption": lambda issuer: signed(issuer, STRANGER, "RS256", "for-encryption"),
    "of a key that is too short": lambda issuer: by_hand(issuer, WEAK, "weak"),
    "without a key id": lambda issuer: signed(issuer, issuer.keys["one"], "RS256", None),
    "of an algorithm that the operator did not name": lambda issuer: signed(issuer, issuer.keys["one"], "RS384", "one"),
    "of an algorithm that its key is not for": lambda issuer: signed(issuer, BOUND, "RS256", "for-rs512"),
    "of a key of another kind": lambda issuer: signed(issuer, issuer.keys["one"], "RS256", "curve"),
    "with a critical extension": lambda issuer: issuer.token(header={"crit": ["x"], "x": 1}),
    "a token about a logout": lambda issuer: issuer.token(header={"typ": "logout+jwt"}),
    "a proof of possession": lambda issuer: issuer.token(header={"typ": "dpop+jwt"}),
    "of two segments": lambda issuer: ".".join(issuer.token().split(".")[:2]),
    "of four segments": lambda issuer: issuer.token() + ".x",
    "a header that is no object": lambda issuer: f"{segment([1])}.{segment({})}.x",
    "a header that is nested without end": lambda issuer: f"{segment(b'[' * 9000)}.{segment({})}.x",
    "a key id that is no text": lambda issuer: f"{segment({'alg': 'RS256', 'kid': ['one']})}.{segment({})}.x",
    "an algorithm that is no text": lambda issuer: f"{segment({'alg': ['RS256'], 'kid': 'one'})}.{segment({})}.x",
    "garbage": lambda issuer: "%00\u00fc\u00ff{}",
    "dots": lambda issuer: "..",
    "huge": lambda issuer: issuer.token(filler="x" * 14_000),
    "nearly a token of the operator": lambda issuer: "token-of-bo",
}
SIGNED: dict[str, tuple[dict[str, Any], str]] = {
    "for another server": ({"aud": "https://other.example.com/mcp"}, AUDIENCE),
    "for a server of a longer name": ({"aud": f"{AUDIENCE}/more"}, AUDIENCE),
    "for nobody": ({"aud": None}, 'missing the "aud" claim'),
    "for a list of nobody": ({"aud": []}, AUDIENCE),
    "of another issuer": ({"iss": "https://other.example.com"}, "Invalid issuer"),
    "of no issuer": ({"iss": None}, 'missing the "iss" claim'),
    "for ever": ({"exp": None}, 'missing the "exp" claim'),
    "without a subject": ({"sub": None}, 'missing the "sub" claim'),
    "an ID token": ({"typ": "ID"}, "not an access token"),
    "a refresh token": ({"typ": "Refresh"}, "not an access token"),
    "bound to a key": ({"cnf": {"jkt": "x"}}, "bound to a key"),
    "of the name of an operator's token": ({"sub": "bob"}, "[tokens.bob] is somebody else"),
    "of the name of who calls over stdio": ({"sub": "local"}, "means something else"),
    "called like a role": ({"sub": "role:oncall"}, "means something else"),
    "called like a scope": ({"sub": "scope:airflow"}, "means something else"),
    "of an empty name": ({"sub": ""}, "is no name"),
    "of a name with spaces around": ({"sub": " ann"}, "is no name"),
    "of a name of several lines": ({"sub": "ann\nbob"}, "is no name"),
    "of a name with what is not seen": ({"sub": "ann\u200b"}, "characters that are not seen"),
    "of a name with a variation selector": ({"sub": "ann\ufe0f"}, "characters that are not seen"),
    "of a name with a blank": ({"sub": "\u2800"}, "characters that are not seen"),
    "of a name of everybody": ({"sub": "*"}, "would be a pattern in rules"),
    "of a name that is a pattern": ({"sub": "an?"}, "would be a pattern in rules"),
    "of a long name": ({"sub": "a" * 201}, "more than 200 characters"),
    "with roles that are a number": ({"roles": 7}, "roles is no list of texts"),
    "with roles that are objects": ({"roles": [{"value": "guest"}]}, "roles is no list of texts"),
    "with scopes that are an object": ({"scope": {"airflow": True}}, "scope is no list of texts"),
}


@pytest.mark.parametrize("case", NOT_SIGNED)
def test_what_the_issuer_did_not_sign_is_refused(
    guarded: Served, issuer: Issuer, airflow: FakeAirflow, case: str
) -> None:
    before = len(airflow.seen)
    assert status(guarded, NOT_SIGNED[case](issuer)) == 401
    assert len(airflow.seen) == before
    assert status(guarded, issuer.token()) == 200


@pytest.mark.parametrize("case", SIGNED)
def test_what_it_signed_for_something_else_is_refused_and_the_log_says_why(
    guarded: Served, issuer: Issuer, case: str
) -> None:
    claims, words = SIGNED[case]
    before = len(guarded.said)
    token = issuer.token(**claims)
    assert status(guarded, token) == 401
    assert status(guarded, issuer.token()) == 200
    said = guarded.hear("an access token was refused", since=before)
    assert words in said
    assert token not in said


def accepting(issuer: Issuer, **more: Any) -> AccessTokens:
    """What a server makes of these settings."""
    settings = OAuthIssuer.model_validate({"issuer": issuer.url, "audience": AUDIENCE, **more})
    return AccessTokens(settings, IssuerKeys(issuer.url, make_fetcher()), clock=lambda: 1000.0)


KEYS: dict[str, Callable[[], PrivateKey]] = {
    "RS": rsa_key,
    "PS": rsa_key,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_that_the_operator_may_name_is_known_and_no_other_is_taken(algorithm: str) -> None:
    make = KEYS.get(algorithm) or KEYS[algorithm[:2]]
    with issuing(Issuer(keys={"one": make()})) as issuer:
        token = issuer.token(algorithm=algorithm)
        assert await accepting(issuer, algorithms=[algorithm]).verify_token(token)
        others = [other for other in ALGORITHMS if other != algorithm]
        assert await accepting(issuer, algorithms=others).verify_token(token) is None


@pytest.mark.parametrize(
    ("audience", "accepted"), [("the-id-of-an-application", True), (AUDIENCE, True), ("id", False)]
)
async def test_an_issuer_that_writes_no_addresses_may_name_this_server_otherwise(
    issuer: Issuer, audience: str, accepted: bool
) -> None:
    verifier = accepting(issuer, other_audiences=["the-id-of-an-application"])
    assert (await verifier.verify_token(issuer.token(aud=audience)) is not None) == accepted


async def test_the_log_says_why_of_what_anyone_can_send_and_is_not_flooded(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = accepting(issuer)
    for token in (issuer.token(lasts=-60), "garbage", "garbage"):
        assert await verifier.verify_token(token) is None
    said = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert said == ["an access token was refused: Signature has expired"]


@pytest.mark.parametrize(
    ("claim", "claims", "name"),
    [
        ("email", {"email": "ann@example.com", "email_verified": True}, "ann@example.com"),
        ("email", {"email": "ann@example.com"}, "ann@example.com"),
        ("email", {"email": "ann@example.com", "email_verified": False}, None),
        ("email", {}, None),
        ("user.name", {"user": {"name": "ann"}}, "ann"),
        ("user.name", {"user": "ann"}, None),
        ("https://example.com/name", {"https://example.com/name": "ann"}, "ann"),
        ("number", {"number": 7}, None),
    ],
)
async def test_the_name_is_the_claim_that_the_operator_chose(
    issuer: Issuer, claim: str, claims: dict[str, Any], name: str | None
) -> None:
    identity = await accepting(issuer, name_claim=claim).verify_token(issuer.token(**claims))
    assert (identity.name if identity else None) == name


async def test_who_a_session_belongs_to_is_told_by_client_issuer_and_subject(issuer: Issuer) -> None:
    identity = await accepting(issuer).verify_token(issuer.token(sub="ann", azp=None, client_id="a-client"))
    assert identity is not None
    assert principal_components(identity) == ("a-client", issuer.url, "ann")
