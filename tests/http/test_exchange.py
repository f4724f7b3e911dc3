"""identity = "exchange": a caller's OAuth token goes to its issuer, and what that gives for it to Airflow."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from tests.http.issuer import Issuer, issuing
from tests.http.people import People
from tests.http.serving import Served, accepted, serving
from tests.http.token_server import ACCESS_TOKEN, CLIENT, EXCHANGE, SECRET, TokenServer, giving_tokens
from tests.http.upstream import upstream
from tests.unit.assistant import ERAS, Assistant, Json
from tests.unit.fake_airflow import Reply, Sent

pytestmark = pytest.mark.anyio


def user_of(token: str) -> str:
    """Whose a token of the token server is: airflow-NAME-NUMBER."""
    return token.split("-")[1] if token.startswith("airflow-") else ""


def dags(answer: Json) -> list[str]:
    return [row[0] for row in answer["rows"]]


@pytest.fixture(scope="module")
def issuer() -> Generator[Issuer]:
    with issuing(Issuer()) as served:
        yield served


@pytest.fixture
def people() -> Generator[People]:
    people = People(user_of)
    with upstream(people.airflow):
        yield people


@pytest.fixture
def exchanger() -> Generator[TokenServer]:
    with giving_tokens(TokenServer()) as served:
        yield served


@pytest.fixture
def server(people: People, issuer: Issuer, exchanger: TokenServer, tmp_path: Path) -> Generator[Served]:
    config = f"""
identity = "exchange"
exchange_url = "{exchanger.url}"
exchange_client_id = "{CLIENT}"
exchange_client_secret = "{SECRET}"
exchange_audience = "https://airflow.example.com"
exchange_scope = "airflow:use"
{accepted("bob", "token-of-bob")}
{issuer.config()}
"""
    audit = tmp_path / "audit.jsonl"
    with serving(None, tmp_path, config=config, url=people.airflow.url, audit=str(audit)) as served:
        yield served
        told = served.stderr + audit.read_text()
        for secret in (SECRET, *exchanger.people, *people.bearers):
            assert secret not in told


def token_of(name: str, issuer: Issuer, exchanger: TokenServer) -> str:
    """A token that lets somebody in here, whom the exchanger knows as a user of Airflow."""
    token = issuer.token(sub=name)
    exchanger.people[token] = name
    return token


@pytest.mark.parametrize("mode", ERAS)
async def test_callers_at_once_are_exchanged_once_each_and_stay_apart(
    server: Served, people: People, issuer: Issuer, exchanger: TokenServer, mode: str
) -> None:
    answers: dict[str, set[str]] = {"ann": set(), "joe": set()}

    async def ask(name: str, assistant: Assistant) -> None:
        answers[name].update(dags(await assistant.ask("list_dags")))

    async def work(name: str, token: str) -> None:
        async with server.assistant(token, mode=mode) as assistant, anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(ask, name, assistant)

    tokens = {name: token_of(name, issuer, exchanger) for name in answers}
    async with anyio.create_task_group() as group:
        for name, token in tokens.items():
            group.start_soon(work, name, token)
    assert answers == {name: {f"{name}_0", f"{name}_1", "payroll"} for name in answers}
    assert sorted(people.users) == ["ann"] * 12 + ["joe"] * 12
    assert people.cookies == {}
    assert sorted(form["subject_token"] for form in exchanger.forms) == sorted(tokens.values())
    assert not people.bearers & set(tokens.values()), "a caller's own token never gets to Airflow"


async def test_the_exchange_says_what_is_wanted(server: Served, issuer: Issuer, exchanger: TokenServer) -> None:
    token = token_of("ann", issuer, exchanger)
    async with server.assistant(token) as ann:
        await ann.ask("list_dags")
    assert exchanger.forms == [
        {
            "grant_type": EXCHANGE,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN,
            "requested_token_type": ACCESS_TOKEN,
            "audience": "https://airflow.example.com",
            "scope": "airflow:use",
        }
    ]


@pytest.mark.parametrize(("lasts", "exchanges"), [(3600, 1), ("3600", 1), (None, 1), (1, 3)])
async def test_what_was_exchanged_is_used_until_shortly_before_it_expires(
    server: Served, people: People, issuer: Issuer, exchanger: TokenServer, lasts: object, exchanges: int
) -> None:
    exchanger.lasts = lasts
    async with server.assistant(token_of("ann", issuer, exchanger)) as ann:
        for _ in range(3):
            await ann.ask("list_dags")
    assert len(exchanger.forms) == exchanges
    assert people.users == ["ann"] * 3


async def test_a_token_that_airflow_refuses_is_exchanged_again_for_its_caller_alone(
    server: Served, people: People, issuer: Issuer, exchanger: TokenServer
) -> None:
    async with (
        server.assistant(token_of("ann", issuer, exchanger)) as ann,
        server.assistant(token_of("joe", issuer, exchanger)) as joe,
    ):
        await ann.ask("list_dags")
        await joe.ask("list_dags")
        people.expired.add("airflow-ann-1")
        assert dags(await ann.ask("list_dags"))[0] == "ann_0"
        await joe.ask("list_dags")
    assert people.users == ["ann", "joe", "", "ann", "joe"]
    assert len(exchanger.forms) == 3


async def test_a_new_token_of_the_same_caller_is_exchanged_anew(
    server: Served, issuer: Issuer, exchanger: TokenServer
) -> None:
    for scope in ("one", "two"):
        token = issuer.token(sub="ann", scope=scope)
        exchanger.people[token] = "ann"
        async with server.assistant(token) as ann:
            await ann.ask("list_dags")
    assert len(exchanger.forms) == 2


async def test_an_operators_token_cannot_be_exchanged(server: Served, people: People, exchanger: TokenServer) -> None:
    async with server.assistant("token-of-bob") as bob:
        sentence = await bob.refused("list_dags")
    assert "only an access token of the OAuth issuer can be exchanged" in sentence
    assert "an operator's token" in sentence
    assert (exchanger.forms, people.airflow.sent) == ([], [])


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (JSONResponse({"error": "access_denied", "error_description": "not today"}, 403), "access_denied - not today"),
        (PlainTextResponse("<html>" * 99, 502), "refuses (502): it does not say why"),
        (RedirectResponse("http://127.0.0.1:9/"), "refuses (307)"),
        (JSONResponse({"token_type": "Bearer"}), "answers without an access token"),
        (JSONResponse({"access_token": "two words", "token_type": "Bearer"}), "answers without an access token"),
        (JSONResponse({"access_token": "t", "token_type": "DPoP"}), "no bearer token"),
        (PlainTextResponse("x" * 300_000), "answers with more than a token"),
    ],
)
async def test_an_exchange_that_fails_is_told_in_a_sentence(
    server: Served, people: People, issuer: Issuer, exchanger: TokenServer, refusal: Response, words: str
) -> None:
    exchanger.refusal = refusal
    async with server.assistant(token_of("ann", issuer, exchanger)) as ann:
        assert words in await ann.refused("list_dags")
    assert people.airflow.sent == []


async def test_what_the_issuer_echoes_of_a_token_is_masked(
    server: Served, people: People, issuer: Issuer, exchanger: TokenServer
) -> None:
    token = issuer.token(sub="a-stranger")
    async with server.assistant(token) as stranger:
        sentence = await stranger.refused("list_dags")
    assert "invalid_request - unknown: ***" in sentence
    assert token not in sentence


async def test_with_keycloaks_auth_manager_what_was_exchanged_logs_in(
    people: People, issuer: Issuer, exchanger: TokenServer, tmp_path: Path
) -> None:
    logins: list[Any] = []

    def log_in(sent: Sent) -> Reply:
        logins.append(sent.body)
        known = sent.body.get("assertion") == f"airflow-ann-{len(exchanger.forms)}"
        return Reply(201, {"access_token": "airflow-ann-own"}) if known else Reply(403, {"detail": "Invalid assertion"})

    people.airflow.on("POST", "/auth/token", log_in)
    table = {
        "identity": "exchange",
        "exchange_url": exchanger.url,
        "exchange_client_id": CLIENT,
        "exchange_client_secret": SECRET,
    }
    config = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
    config = f"{config}exchange_login = true\n{issuer.config()}"
    with serving(None, tmp_path, config=config, url=people.airflow.url) as served:
        async with served.assistant(token_of("ann", issuer, exchanger)) as ann:
            for _ in range(2):
                assert dags(await ann.ask("list_dags"))[0] == "ann_0"
        async with served.assistant(token_of("joe", issuer, exchanger)) as joe:
            assert "jwt_federated_client_ids" in await joe.refused("list_dags")
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert [(login["grant_type"], login["assertion"]) for login in logins] == [
        (grant, "airflow-ann-1"),
        (grant, "airflow-joe-2"),
    ]
    assert people.bearers == {"airflow-ann-own"}


async def test_an_issuer_that_gives_the_same_token_back_is_not_believed(
    server: Served, people: People, issuer: Issuer, exchanger: TokenServer
) -> None:
    token = token_of("ann", issuer, exchanger)
    exchanger.answer = {"access_token": token}
    async with server.assistant(token) as ann:
        assert "exchange_audience" in await ann.refused("list_dags")
    assert people.bearers == set()


async def test_a_wrong_client_secret_and_an_issuer_that_is_down_are_sentences(
    people: People, issuer: Issuer, exchanger: TokenServer, tmp_path: Path
) -> None:
    for url, words in ((exchanger.url, "refuses (401): invalid_client"), ("http://127.0.0.1:9/token", "be asked")):
        table = {
            "identity": "exchange",
            "exchange_url": url,
            "exchange_client_id": CLIENT,
            "exchange_client_secret": "wr0ng-secret-of-the-client",
        }
        config = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items()) + issuer.config()
        with serving(None, tmp_path, config=config, url=people.airflow.url) as served:
            async with served.assistant(token_of("ann", issuer, exchanger)) as ann:
                sentence = await ann.refused("list_dags")
            assert words in sentence
            assert "wr0ng" not in sentence + served.stderr
    assert people.airflow.sent == []
