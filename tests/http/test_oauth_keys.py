"""The issuer's keys are found, kept and renewed: it may rotate them, be down, come back, and say nonsense."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from airflow_mcp.airflow.fetch import make_fetcher
from airflow_mcp.server.auth.issuer_keys import IssuerKeys
from tests.http.issuer import OPENID, Issuer, issuing, rsa_key
from tests.http.serving import PATIENCE, Served, serving
from tests.http.test_oauth_refusals import status
from tests.unit.assistant import Assistant
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on, for a server whose address has to be known before it starts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@dataclass
class Clock:
    """Time that passes when a test says so, in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_new_key_is_accepted_and_the_old_one_refused_once_it_is_gone(airflow: FakeAirflow, tmp_path: Path) -> None:
    with issuing(Issuer()) as issuer, serving(airflow, tmp_path, config=issuer.config()) as served:
        old = issuer.token()
        assert [status(served, old) for _ in range(3)] == [200, 200, 200]
        assert issuer.fetches == 1
        issuer.keys = {**issuer.keys, "two": rsa_key()}
        assert status(served, issuer.token(kid="two")) == 200
        assert status(served, old) == 200
        assert issuer.fetches == 2


def test_a_key_that_the_issuer_took_back_opens_nothing(airflow: FakeAirflow, tmp_path: Path) -> None:
    with issuing(Issuer()) as issuer, serving(airflow, tmp_path, config=issuer.config()) as served:
        old = issuer.token()
        assert status(served, old) == 200
        issuer.keys = {"two": rsa_key()}
        assert status(served, issuer.token(kid="two")) == 200
        assert status(served, old) == 401


def test_key_ids_that_somebody_invents_do_not_trouble_the_issuer(airflow: FakeAirflow, tmp_path: Path) -> None:
    with issuing(Issuer()) as issuer, serving(airflow, tmp_path, config=issuer.config()) as served:
        assert status(served, issuer.token()) == 200
        invented = [issuer.token(header={"kid": f"invented-{number}"}) for number in range(20)]
        assert {status(served, token) for token in invented} == {401}
        assert issuer.fetches == 2
        assert status(served, issuer.token()) == 200


def test_an_issuer_that_is_down_at_the_start_is_waited_for(airflow: FakeAirflow, tmp_path: Path) -> None:
    with issuing(Issuer(down=True)) as issuer, serving(airflow, tmp_path, config=issuer.config()) as served:
        assert status(served, issuer.token()) == 401
        assert "answers with HTTP 503" in served.hear("so nobody gets in with a token of it")
        issuer.down = False
        assert any(status(served, issuer.token()) == 200 for _ in range(1000))


@pytest.mark.parametrize(
    ("path", "metadata_at"),
    [
        ("", OPENID),
        ("", "/.well-known/oauth-authorization-server"),
        ("/realms/team", f"/realms/team{OPENID}"),
        ("/realms/team", f"{OPENID}/realms/team"),
        ("/realms/team", "/.well-known/oauth-authorization-server/realms/team"),
    ],
)
async def test_the_keys_are_found_by_the_issuers_metadata_wherever_it_is(path: str, metadata_at: str) -> None:
    with issuing(Issuer(path, metadata_at)) as issuer:
        assert await IssuerKeys(issuer.url, make_fetcher()).find("one")


async def test_an_address_of_the_keys_spares_the_metadata() -> None:
    with issuing(Issuer()) as issuer:
        assert await IssuerKeys(issuer.url, make_fetcher(), jwks_url=f"{issuer.url}/jwks").find("one")
        assert issuer.asked == ["/jwks"]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "https://other.example.com"}, "calls its issuer https://other.example.com"),
        ({"issuer": None}, "calls its issuer None"),
        ({"jwks_uri": "http://keys.example.com/jwks"}, "is neither https nor on loopback"),
        ({"jwks_uri": "file:///etc/hosts"}, "is neither https nor on loopback"),
        ({"jwks_uri": ["x"]}, "no metadata that names its keys"),
        ({"jwks_uri": None}, "no metadata that names its keys"),
    ],
)
async def test_metadata_that_cannot_be_trusted_gives_no_keys_and_the_log_says_why(
    metadata: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with issuing(Issuer(metadata=metadata)) as issuer:
        assert await IssuerKeys(issuer.url, make_fetcher()).find("one") is None
    assert words in caplog.text


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (httpx2.Response(200, text="<html>"), "holds no JSON"),
        (httpx2.Response(200, text="[" * 100_000), "holds no JSON"),
        (httpx2.Response(200, json=["x"]), "holds no JSON object"),
        (httpx2.Response(200, json={"keys": []}), "no key with an id"),
        (httpx2.Response(200, json={"keys": "x"}), "no key with an id"),
        (httpx2.Response(200, json={"keys": [{"kty": "oct", "kid": "one", "k": "AAAA"}]}), "no key with an id"),
        (httpx2.Response(200, content=b"x" * 2_000_000), "more than 1024 KiB"),
        (httpx2.Response(302, headers={"Location": "https://example.com/jwks"}), "no key set at"),
        (httpx2.Response(404), "no key set at"),
        (httpx2.Response(500), "HTTP 500"),
    ],
)
async def test_a_key_set_that_is_none_gives_no_keys_and_the_log_says_why(
    reply: httpx2.Response, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    fetch = make_fetcher(transport=httpx2.MockTransport(lambda request: reply))
    keys = IssuerKeys("https://issuer.example.com", fetch, jwks_url="https://issuer.example.com/jwks")
    assert await keys.find("one") is None
    assert words in caplog.text


async def test_keys_are_fetched_anew_after_an_hour_and_kept_while_the_issuer_is_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    with issuing(Issuer()) as issuer:
        keys = IssuerKeys(issuer.url, make_fetcher(), clock=clock)
        assert await keys.find("one")
        clock.now += 3599
        assert await keys.find("one")
        assert issuer.fetches == 1
        issuer.down = True
        clock.now += 2
        assert await keys.find("one")
        asked = len(issuer.asked)
        assert "those of before are used" in caplog.text
        clock.now += 59
        assert await keys.find("one")
        assert len(issuer.asked) == asked
        issuer.down, issuer.keys = False, {"two": rsa_key()}
        clock.now += 2
        assert await keys.find("one") is None
        assert await keys.find("two")
        assert issuer.fetches == 2


async def test_an_unknown_key_is_asked_for_once_a_minute() -> None:
    clock = Clock()
    with issuing(Issuer()) as issuer:
        keys = IssuerKeys(issuer.url, make_fetcher(), clock=clock)
        assert [await keys.find(kid) is not None for kid in ("one", "x", "y")] == [True, False, False]
        assert issuer.fetches == 2
        issuer.keys = {**issuer.keys, "y": rsa_key()}
        clock.now += 59
        assert await keys.find("y") is None
        clock.now += 1
        assert await keys.find("y")
        assert issuer.fetches == 3


async def test_those_who_wait_share_one_fetch() -> None:
    found: list[object] = []
    with issuing(Issuer()) as issuer:
        keys = IssuerKeys(issuer.url, make_fetcher())

        async def ask() -> None:
            found.append(await keys.find("one"))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(ask)
        assert len(found) == 50
        assert None not in found
        assert issuer.fetches == 1


class Memory:
    """Where a client keeps its tokens."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@asynccontextmanager
async def machine(served: Served, issuer: Issuer) -> AsyncGenerator[Assistant]:
    """A client that knows nothing but the server's address, and its own secret at the issuer."""
    address = f"{served.url}/mcp"
    login = ClientCredentialsOAuthProvider(address, Memory(), "a-machine", "its-secret", issuer=issuer.url)
    async with (
        httpx2.AsyncClient(auth=login, timeout=PATIENCE, trust_env=False) as http,
        Client(streamable_http_client(address, http_client=http), cache=None) as client,
    ):
        yield Assistant(client)


async def test_a_client_finds_the_issuer_and_the_scope_by_what_the_server_says(
    airflow: FakeAirflow, tmp_path: Path, free_port: int
) -> None:
    with issuing(Issuer()) as issuer:
        issuer.audience = f"http://127.0.0.1:{free_port}/mcp"
        config = issuer.config(required_scopes=["airflow", "airflow:pools"])
        with serving(airflow, tmp_path, "--port", str(free_port), config=config) as served:
            async with machine(served, issuer) as client:
                assert (await client.ask("list_dags"))["total"] == 2
        assert issuer.granted == ["airflow airflow:pools"]
