"""auth = "client_credentials": the token comes from an OAuth issuer, and is renewed before it ends and when refused."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from urllib.parse import quote_plus

import anyio
import pytest
from pydantic import ValidationError
from starlette.responses import JSONResponse

from airflow_mcp.settings.connection import Connection
from tests.http.people import People
from tests.http.token_server import CLIENT, SECRET, TokenServer, giving_tokens
from tests.http.upstream import upstream
from tests.unit.connected import connected
from tests.unit.fake_airflow import Reply, Sent

pytestmark = pytest.mark.anyio


def user_of(token: str) -> str:
    return token.split("-")[1] if token.startswith("airflow-") else ""


@pytest.fixture
def people() -> Generator[People]:
    people = People(user_of)
    with upstream(people.airflow):
        yield people


@pytest.fixture
def issuer() -> Generator[TokenServer]:
    with giving_tokens(TokenServer()) as served:
        yield served


def settings(people: People, issuer: TokenServer, **more: str) -> dict[str, Any]:
    told = {"url": people.airflow.url, "auth": "client_credentials", "token_url": issuer.url}
    return told | {"token_client_id": CLIENT, "token_client_secret": SECRET} | more


async def test_one_token_serves_many_calls(people: People, issuer: TokenServer) -> None:
    wanted = {"token_scope": "airflow:use other", "token_audience": "https://airflow.example.com"}
    async with connected(**settings(people, issuer, **wanted)) as someone, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(someone.ask, "list_dags")
    assert people.users == ["service"] * 8
    assert issuer.forms == [
        {
            "grant_type": "client_credentials",
            "scope": "airflow:use other",
            "audience": "https://airflow.example.com",
        }
    ]


@pytest.mark.parametrize(("lasts", "tokens"), [(3600, 1), (21, 1), (20, 3), (0, 3), (-5, 3), ("soon", 1), (True, 1)])
async def test_a_token_is_replaced_shortly_before_it_expires(
    people: People, issuer: TokenServer, lasts: object, tokens: int
) -> None:
    issuer.lasts = lasts
    async with connected(**settings(people, issuer)) as someone:
        for _ in range(3):
            await someone.ask("list_dags")
    assert people.users == ["service"] * 3
    assert len(issuer.forms) == tokens


async def test_a_token_that_airflow_refuses_is_replaced_once(people: People, issuer: TokenServer) -> None:
    async with connected(**settings(people, issuer)) as someone:
        await someone.ask("list_dags")
        people.expired |= {"airflow-service-1"}
        await someone.ask("list_dags")
        people.expired |= {f"airflow-service-{number}" for number in range(99)}
        assert "keeps refusing the OAuth client 'airflow-mcp'" in await someone.refused("list_dags")
    assert people.users == ["service", "", "service", "", ""]
    assert len(issuer.forms) == 3


async def test_on_2x_where_an_ended_token_is_answered_like_a_missing_permission_it_is_replaced_too(
    issuer: TokenServer,
) -> None:
    people = People(user_of, "2.11.2")
    with upstream(people.airflow):
        async with connected(**settings(people, issuer)) as someone:
            await someone.ask("list_dags")
            people.expired |= {"airflow-service-1"}
            await someone.ask("list_dags")
            people.airflow.on("GET", "/pools", Reply(403, {"title": "Forbidden"}))
            assert "to the user this server acts as (403)" in await someone.refused("list_pools")
    assert len(issuer.forms) == 2, "a permission that is missing is no reason to log in again"


async def test_calls_that_wait_for_a_login_share_it_however_short_it_lasts(people: People, issuer: TokenServer) -> None:
    issuer.lasts = 1
    async with connected(**settings(people, issuer)) as someone, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(someone.ask, "list_dags")
    assert people.users == ["service"] * 8
    assert len(issuer.forms) < 8


async def test_a_front_that_shows_strangers_the_way_to_its_sign_in_page_is_logged_in_to(issuer: TokenServer) -> None:
    def version(sent: Sent) -> Reply:
        known = sent.headers.get("authorization", "").startswith("Bearer airflow-service")
        return Reply(200, {"version": "3.3.2"}) if known else Reply(302, None, {"location": "https://sign-in.example"})

    people = People(user_of)
    people.airflow.on("GET", "/version", version)
    with upstream(people.airflow):
        async with connected(**settings(people, issuer)) as someone:
            await someone.ask("list_dags")
        async with connected(url=people.airflow.url) as nobody:
            assert "redirect to https://sign-in.example" in await nobody.refused("list_dags")


async def test_an_endpoint_that_repeats_the_secret_does_not_get_it_shown(people: People, issuer: TokenServer) -> None:
    said = f"bad secret {SECRET!r} ({quote_plus(SECRET)})"
    issuer.refusal = JSONResponse({"error": "invalid_client", "error_description": said}, 401)
    async with connected(**settings(people, issuer)) as someone:
        sentence = await someone.refused("list_dags")
    assert "invalid_client - bad secret" in sentence
    assert SECRET not in sentence
    assert quote_plus(SECRET) not in sentence


async def test_a_wrong_secret_is_told_and_not_shown(people: People, issuer: TokenServer) -> None:
    wrong = settings(people, issuer, token_client_secret="wr0ng-secret")
    async with connected(**wrong) as someone:
        sentence = await someone.refused("list_dags")
    assert "refuses (401): invalid_client" in sentence
    assert "wr0ng-secret" not in sentence + repr(Connection.model_validate(wrong))
    assert people.users == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"token_url": ""}, 'auth = "client_credentials" needs token_url'),
        ({"token_client_secret": ""}, 'auth = "client_credentials" needs token_client_secret'),
        ({"token_url": "http://issuer.example.com/token"}, "must be an https address, or one on loopback"),
        ({"token": "t"}, "choose one way to log in"),
        ({"auth": "given"}, 'token_client_id is for auth = "client_credentials" or "keycloak", and that is "given"'),
        ({"auth": "keycloak"}, 'token_url is for auth = "client_credentials"'),
        ({"mwaa_environment": "staging"}, 'mwaa_environment is for auth = "mwaa"'),
        ({"identity": "exchange"}, 'identity = "exchange" needs exchange_url'),
        ({"exchange_scope": "x"}, 'exchange_scope is for identity = "exchange"'),
        ({"auth": "client-credentials"}, "auth"),
    ],
)
def test_settings_that_do_not_go_together_end_the_start(changed: dict[str, str], words: str) -> None:
    told = {"auth": "client_credentials", "token_url": "https://issuer.example.com/token"}
    told |= {"token_client_id": CLIENT, "token_client_secret": SECRET}
    assert Connection.model_validate(told).auth == "client_credentials"
    with pytest.raises(ValidationError, match=words):
        Connection.model_validate(told | changed)
