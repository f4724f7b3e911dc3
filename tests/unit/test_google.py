"""auth = "google": google-auth's own credentials, before a stand-in for Google that checks what they sign."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.http.people import People
from tests.http.upstream import listening, upstream
from tests.unit.connected import connected

pytestmark = pytest.mark.anyio
ACCOUNT = "airflow-mcp@a-project.iam.gserviceaccount.com"
GOOGLE = "https://oauth2.googleapis.com/token"  # whom a service account signs for, wherever it asks
IAP = "1234-abc.apps.googleusercontent.com"
IAP_KEY = "a-key-that-stands-for-googles-own-and-signs-id-tokens"


@dataclass
class FakeGoogle:
    """Google's token endpoint: gives tokens for what a service account's key has signed."""

    key: rsa.RSAPrivateKey
    url: str = ""
    lasts: int = 3600
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def token(self, request: Request) -> Response:
        form = await request.form()
        public = self.key.public_key()
        try:
            claims = jwt.decode(str(form["assertion"]), public, algorithms=["RS256"], audience=GOOGLE, issuer=ACCOUNT)
        except jwt.PyJWTError as error:
            return JSONResponse({"error": "invalid_grant", "error_description": str(error)}, 400)
        self.asked.append(claims)
        if audience := claims.get("target_audience"):
            told = {"aud": audience, "email": ACCOUNT, "exp": int(time.time()) + self.lasts}
            return JSONResponse({"id_token": jwt.encode(told, IAP_KEY, "HS256")})
        given = {"access_token": f"ya29.for-{len(self.asked)}", "token_type": "Bearer", "expires_in": self.lasts}
        return JSONResponse(given)


@contextmanager
def google(folder: Path, monkeypatch: pytest.MonkeyPatch, *, another_key: bool = False) -> Generator[FakeGoogle]:
    """The same Google on loopback, and a service account of it in this process's environment."""
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    fake = FakeGoogle(keys[0])
    with listening(Starlette(routes=[Route("/token", fake.token, methods=["POST"])])) as url:
        fake.url = f"{url}/token"
        pem = keys[another_key].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {"type": "service_account", "client_email": ACCOUNT, "token_uri": fake.url, "project_id": "a-project"}
        file = folder / "account.json"
        file.write_text(json.dumps(account | {"private_key": pem.decode(), "private_key_id": "one"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        yield fake


def composer_user(token: str) -> str:
    return "composer" if token.startswith("ya29.for-") else ""


def iap_user(token: str) -> str:
    """Who an ID token is about, for an IAP that checks its signature, its time and its audience."""
    try:
        return "iap" if jwt.decode(token, IAP_KEY, algorithms=["HS256"], audience=IAP)["email"] == ACCOUNT else ""
    except jwt.PyJWTError:
        return ""


async def test_composer_gets_an_access_token_with_the_scope_it_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People(composer_user)
    with google(tmp_path, monkeypatch) as fake, upstream(people.airflow) as airflow:
        async with connected(url=airflow.url, auth="google") as someone:
            for _ in range(3):
                await someone.ask("list_dags")
    assert people.users == ["composer"] * 3
    assert [claims["scope"] for claims in fake.asked] == ["https://www.googleapis.com/auth/cloud-platform"]


async def test_iap_gets_an_id_token_for_its_own_audience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(iap_user)
    with google(tmp_path, monkeypatch) as fake, upstream(people.airflow) as airflow:
        async with connected(url=airflow.url, auth="google", google_audience=IAP) as someone:
            for _ in range(3):
                await someone.ask("list_dags")
        assert [claims["target_audience"] for claims in fake.asked] == [IAP]
        async with connected(url=airflow.url, auth="google", google_audience="another") as someone:
            assert "keeps refusing Google's application default credentials" in await someone.refused("list_dags")
    assert people.users == ["iap"] * 3 + [""] * 2


async def test_a_token_is_replaced_before_it_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(composer_user)
    with google(tmp_path, monkeypatch) as fake, upstream(people.airflow) as airflow:
        fake.lasts = 50
        async with connected(url=airflow.url, auth="google") as someone:
            for _ in range(3):
                await someone.ask("list_dags")
    assert len(fake.asked) == 3
    assert people.users == ["composer"] * 3


async def test_a_token_that_airflow_refuses_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(composer_user)
    with google(tmp_path, monkeypatch), upstream(people.airflow) as airflow:
        async with connected(url=airflow.url, auth="google") as someone:
            await someone.ask("list_dags")
            people.expired.add("ya29.for-1")
            await someone.ask("list_dags")
    assert people.users == ["composer", "", "composer"]


@pytest.mark.parametrize("audience", ["", IAP])
async def test_credentials_that_google_refuses_or_that_are_not_there_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audience: str
) -> None:
    people = People(composer_user)
    with google(tmp_path, monkeypatch, another_key=True), upstream(people.airflow) as airflow:
        async with connected(url=airflow.url, auth="google", google_audience=audience) as someone:
            sentence = await someone.refused("list_dags")
            assert "Google gives no token" in sentence
            assert "GOOGLE_APPLICATION_CREDENTIALS" in sentence
            assert "Signature verification failed" in sentence
            assert "PRIVATE KEY" not in sentence
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "no.json"))
            assert "Google gives no token" in await someone.refused("list_dags")
    assert people.users == []
