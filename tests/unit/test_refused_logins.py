"""A login that was refused is not repeated for a minute, then for longer: many wrong ones in a row lock an account."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.airflow.auth.auth_method import AuthMethod
from airflow_mcp.airflow.auth.caller_token import CallerToken
from airflow_mcp.airflow.auth.kerberos import Kerberos
from airflow_mcp.airflow.auth.keycloak import Keycloak
from airflow_mcp.airflow.auth.token_endpoint import TokenEndpoint
from airflow_mcp.airflow.auth.token_exchange import ExchangedToken, TokenExchange
from airflow_mcp.airflow.caller_clients import CallerClients
from airflow_mcp.airflow.caller_credentials import CallerCredentials, CallerLogin
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.credentials import Credentials
from airflow_mcp.airflow.wire import Request
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.errors import LoginError, LoginRefusedError
from airflow_mcp.policy.rules import parse_policy
from tests.http.token_server import CLIENT, TokenServer, giving_tokens
from tests.unit.assistant import A_TOKEN, Clock, assistant
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag

pytestmark = pytest.mark.anyio
ANN = Credentials(username="ann", password="s3cret-pass-of-ann")
DAGS = Request("GET", "/api/v2/dags", (), None, "application/json", True)
REFUSED = Reply(401, {"detail": "Invalid credentials"})
RESTS = [60, 120, 240, 480, 900, 900]  # seconds, from one refusal to the next


def refusing(version: str = "3.3.2") -> FakeAirflow:
    """An Airflow that tells its version and refuses everything else."""
    generation = "v1" if version.startswith("2.") else "v2"
    airflow = FakeAirflow(version).otherwise(REFUSED)
    if generation == "v1":
        airflow.on("GET", "/api/v2/version", Reply(404, "<html>"))
    return airflow


def logins(airflow: FakeAirflow) -> int:
    """The requests by which somebody said who it is."""
    return len([sent for sent in airflow.seen if "authorization" in sent.headers or sent.path == "/auth/token"])


def printing(folder: Path, token: str) -> Credentials:
    """A command that prints what stands in a file now."""
    (folder / "token").write_text(token)
    program = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_text())"
    return Credentials(token_command=(sys.executable, "-c", program, str(folder / "token")))


def no_ticket(host: str, service: str) -> bytes:
    raise LoginRefusedError(f"Kerberos gives no ticket for {service}@{host}.")


WAYS: dict[str, tuple[str, Callable[[Path], Credentials | AuthMethod]]] = {
    "password of 3.x": ("3.3.2", lambda folder: ANN),
    "password of 2.x": ("2.11.2", lambda folder: ANN),
    "token": ("3.3.2", lambda folder: A_TOKEN),
    "token of 2.x": ("2.11.2", lambda folder: A_TOKEN),
    "token command": ("3.3.2", lambda folder: printing(folder, "the-same-token")),
    "keycloak": ("3.3.2", lambda folder: Keycloak("airflow", "wr0ng")),
    "a caller's token": ("3.3.2", lambda folder: CallerToken("expired", "X-Airflow-Token")),
}


@pytest.mark.parametrize("name", WAYS)
async def test_ten_calls_in_a_row_log_in_once(name: str, tmp_path: Path) -> None:
    version, way = WAYS[name]
    airflow, clock = refusing(version), Clock()
    async with assistant(airflow, credentials=way(tmp_path), clock=clock) as someone:
        sentences = [await someone.refused("list_pools") for _ in range(10)]
        assert logins(airflow) == 1
        clock.wait(59)
        await someone.refused("list_pools")
        assert logins(airflow) == 1
        clock.wait(1)
        await someone.refused("list_pools")
        assert logins(airflow) == 2
    assert all("It is not tried again for 60 s, or until a reload" in sentence for sentence in sentences)
    assert len(set(sentences)) == 1


async def test_a_principal_without_a_ticket_asks_for_one_once() -> None:
    tickets: list[str] = []

    def ticket(host: str, service: str) -> bytes:
        tickets.append(host)
        return no_ticket(host, service)

    kerberos = Kerberos("http://airflow.example", ticket=ticket)
    async with assistant(refusing("2.11.2"), credentials=kerberos) as someone:
        for _ in range(10):
            assert "gives no ticket" in await someone.refused("list_pools")
    assert len(tickets) == 1


async def test_the_rest_grows_to_a_quarter_of_an_hour_and_the_sentence_says_how_long_it_lasts() -> None:
    airflow, clock = refusing(), Clock()
    async with assistant(airflow, credentials=ANN, clock=clock) as someone:
        for number, rest in enumerate(RESTS, 1):
            assert f"not tried again for {rest} s" in await someone.refused("list_pools")
            clock.wait(rest - 0.5)
            assert "not tried again for 1 s" in await someone.refused("list_pools")
            assert logins(airflow) == number
            clock.wait(0.5)


async def test_a_login_that_worked_meanwhile_begins_anew() -> None:
    airflow, clock = refusing(), Clock()
    given = Reply(201, {"access_token": "a.b.c"})
    pools = {"pools": [], "total_entries": 0}
    async with assistant(airflow, credentials=ANN, clock=clock) as someone:
        for rest in RESTS[:2]:
            await someone.refused("list_pools")
            clock.wait(rest)
        airflow.on("POST", "/auth/token", given).on("GET", "/pools", pools)
        await someone.ask("list_pools")
        airflow.on("POST", "/auth/token", REFUSED).on("GET", "/pools", REFUSED)
        assert "not tried again for 60 s" in await someone.refused("list_pools")


async def test_a_token_that_airflow_refuses_after_a_new_login_rests_too() -> None:
    airflow = refusing().on("POST", "/auth/token", Reply(201, {"access_token": "a.b.c"}))
    async with assistant(airflow, credentials=ANN) as someone:
        for _ in range(10):
            assert "keeps refusing user 'ann'" in await someone.refused("list_pools")
    assert len([sent for sent in airflow.seen if sent.path == "/auth/token"]) == 2
    assert len(airflow.sent) == 2


@pytest.mark.parametrize("credentials", [ANN, A_TOKEN])
async def test_a_front_that_refuses_the_login_before_the_version_is_known_is_asked_once(
    credentials: Credentials,
) -> None:
    airflow, clock = FakeAirflow().on("GET", "/version", REFUSED).otherwise(REFUSED), Clock()
    async with assistant(airflow, credentials=credentials, clock=clock) as someone:
        for _ in range(10):
            assert "not tried again for 60 s" in await someone.refused("list_pools")
        assert logins(airflow) == 1
        clock.wait(60)
        await someone.refused("list_pools")
        assert logins(airflow) == 2


@pytest.mark.parametrize("status", [500, 503])
async def test_an_airflow_that_fails_refuses_nobody(status: int) -> None:
    airflow = refusing().on("POST", "/auth/token", Reply(status, "down"), Reply(201, {"access_token": "a.b.c"}))
    airflow.on("GET", "/pools", {"pools": [], "total_entries": 0})
    async with assistant(airflow, credentials=ANN) as someone:
        assert "not tried again" not in await someone.refused("list_pools")
        await someone.ask("list_pools")


@pytest.mark.parametrize("name", WAYS)
async def test_a_reload_lets_it_be_tried_at_once(name: str, tmp_path: Path) -> None:
    version, way = WAYS[name]
    airflow = refusing(version)
    async with assistant(airflow, credentials=way(tmp_path)) as someone:
        assert someone.instances is not None
        for number in range(1, 4):
            await someone.refused("list_pools")
            await someone.refused("list_pools")
            assert logins(airflow) == number
            someone.instances.enforce(parse_policy((), load_catalog()))


async def test_another_secret_of_the_command_is_taken_at_once(tmp_path: Path) -> None:
    def guarded(sent: Sent) -> Reply:
        known = sent.headers["authorization"] == "Bearer the-new-token"
        return Reply(200, dag(dag_id="etl")) if known else REFUSED

    airflow = FakeAirflow().on("GET", "/dags/etl", guarded)
    async with assistant(airflow, credentials=printing(tmp_path, "the-old-token")) as someone:
        for _ in range(3):
            assert "not tried again for" in await someone.refused("get_dag", dag_id="etl")
        assert logins(airflow) == 1
        printing(tmp_path, "the-new-token")
        await someone.ask("get_dag", dag_id="etl")
        assert logins(airflow) == 2


async def test_a_callers_refused_token_holds_up_nobody_else() -> None:
    def guarded(sent: Sent) -> Reply:
        known = sent.headers.get("authorization") in ("Bearer of-ann", "Bearer new-of-joe")
        return Reply(200, {"dags": [], "total_entries": 0}) if known else REFUSED

    airflow = FakeAirflow().on("GET", "/dags", guarded)
    own = own_clients(airflow, lambda token: CallerToken(token, "X-Airflow-Token"))
    for _ in range(3):
        assert "not tried again" in await outcome(own, "joe", "old-of-joe")
        assert await outcome(own, "ann", "of-ann") == "200"
    assert await outcome(own, "joe", "new-of-joe") == "200"
    refused = [sent for sent in airflow.sent if sent.headers["authorization"] == "Bearer old-of-joe"]
    assert len(refused) == 1


async def test_a_wrong_secret_at_the_issuer_is_presented_once_for_all_callers() -> None:
    airflow = FakeAirflow().on("GET", "/dags", {"dags": [], "total_entries": 0})
    with giving_tokens(TokenServer(people={"of-ann": "ann"})) as issuer:
        for secret, forms in (("wr0ng", 1), (None, 2)):
            issuer.forms.clear()
            endpoint = TokenEndpoint(issuer.url, CLIENT, secret or "s3cret: of the client")
            own = own_clients(airflow, lambda token, endpoint=endpoint: ExchangedToken(TokenExchange(endpoint), token))
            for _ in range(3):
                assert "not tried again" in await outcome(own, "joe", "of-nobody")
                assert ("not tried again" in await outcome(own, "ann", "of-ann")) is (secret is not None)
            assert len(issuer.forms) == forms
            own.retry_login()
            await outcome(own, "joe", "of-nobody")
            assert len(issuer.forms) == forms + 1


def own_clients(airflow: FakeAirflow, way: Callable[[str], AuthMethod]) -> CallerClients:
    """The clients of callers whose tokens are used in that way."""
    shared = AirflowClient(airflow.url, Credentials(), transport=airflow.transport, backoff=0)

    def identify(credentials: CallerCredentials) -> CallerLogin:
        token = credentials.tokens["default"]
        return CallerLogin(token, way(token))

    return CallerClients(shared, identify)


async def outcome(own: CallerClients, caller: str, token: str) -> str:
    """The status that a caller gets, or the sentence of its login."""
    presented: Any = CallerCredentials(True, "", {"default": token})
    async with own.borrow(caller, presented) as client:
        try:
            return str((await client.send(DAGS)).status)
        except LoginError as error:
            return str(error)
