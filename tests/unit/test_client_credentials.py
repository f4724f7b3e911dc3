"""auth = "client_credentials": the token comes from an OAuth issuer, and is renewed before it ends and when refused."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from airflow_mcp.settings.connection import Connection
from tests.http.people import People
from tests.http.token_server import CLIENT, SECRET, TokenServer, giving_tokens
from tests.http.upstream import upstream
from tests.unit.connected import connected

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
        ({"auth": "given"}, 'token_url is for auth = "client_credentials"'),
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
