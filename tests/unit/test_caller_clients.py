"""Clients of callers: one each, the latest are kept, what is dropped is closed, and none that is in use."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest

from airflow_mcp.airflow.auth.auth_method import AuthHeaders, AuthMethod, AuthRequest, build_bearer
from airflow_mcp.airflow.caller_clients import CallerClients
from airflow_mcp.airflow.caller_credentials import CallerCredentials, CallerLogin
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.wire import Request
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.errors import LoginError, LoginOnHoldError
from tests.unit.assistant import A_TOKEN
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent

pytestmark = pytest.mark.anyio
DAGS = Request("GET", "/api/v2/dags", (), None, "application/json", True)
UNKNOWN = Reply(401, {"detail": "Unauthorized"})


class Remembered(AuthMethod):
    """A token whose way remembers that it was closed."""

    def __init__(self, token: str, closed: list[str]) -> None:
        self._token = token
        self._closed = closed

    def describe(self) -> str:
        return "a token of a test"

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        return build_bearer(self._token)

    async def aclose(self) -> None:
        self._closed.append(self._token)


def clients(airflow: FakeAirflow, closed: list[str], most: int = 2, most_of_one: int = 10) -> CallerClients:
    shared = AirflowClient(airflow.url, A_TOKEN, transport=airflow.transport, backoff=0)

    def identify(credentials: CallerCredentials) -> CallerLogin:
        token = credentials.tokens.get("default", "")
        if not token:
            raise LoginError("nobody")
        return CallerLogin(token, Remembered(token, closed))

    return CallerClients(shared, identify, most, most_of_one)


def bringing(token: str) -> CallerCredentials:
    return CallerCredentials(True, "", {"default": token})


async def test_the_latest_are_kept_and_what_is_dropped_is_closed() -> None:
    closed: list[str] = []
    own = clients(FakeAirflow(), closed)
    for token in ("one", "two", "one", "three"):
        async with own.borrow("ann", bringing(token)) as client:
            await client.version()
    assert closed == ["two"], "the one that was not used for longest"
    await own.aclose()
    assert sorted(closed) == ["one", "three", "two"]


async def test_who_brings_many_tokens_displaces_no_login_but_his_own() -> None:
    closed: list[str] = []
    own = clients(FakeAirflow(), closed, most=5, most_of_one=2)
    for caller, token in (("bob", "of-bob"), *(("eve", f"made-up-{number}") for number in range(9))):
        async with own.borrow(caller, bringing(token)) as client:
            await client.version()
    assert closed == [f"made-up-{number}" for number in range(7)]


async def test_all_share_the_connections_and_none_is_closed_with_a_login() -> None:
    own = clients(FakeAirflow().on("GET", "/dags", {"dags": [], "total_entries": 0}), [], most=1)
    async with own.borrow("ann", bringing("one")) as first, own.borrow("joe", bringing("two")) as second:
        assert first.connections is second.connections
    async with own.borrow("ann", bringing("three")) as client:
        assert (await client.send(DAGS)).status == 200


async def test_one_in_use_is_never_closed_and_later_it_is() -> None:
    closed: list[str] = []
    own = clients(FakeAirflow(), closed, most=1)
    async with AsyncExitStack() as calls:
        for token in ("one", "two", "three"):
            await calls.enter_async_context(own.borrow("ann", bringing(token)))
        assert closed == []
    assert len(closed) == 2


async def test_the_same_caller_with_the_same_token_has_one_client_and_another_caller_another() -> None:
    own = clients(FakeAirflow(), [])
    async with own.borrow("ann", bringing("t")) as first, own.borrow("ann", bringing("t")) as second:
        assert first is second
    async with own.borrow("ann", bringing("t")) as first, own.borrow("joe", bringing("t")) as second:
        assert first is not second
    async with own.borrow("ann", bringing("t")) as first, own.borrow("ann", bringing("u")) as second:
        assert first is not second


async def test_the_version_is_asked_once_for_all_and_by_a_caller_where_nobody_else_may() -> None:
    def version(sent: Sent) -> Reply:
        known = sent.headers.get("authorization") == "Bearer good"
        return Reply(200, {"version": "3.3.2"}) if known else UNKNOWN

    airflow = FakeAirflow().on("GET", "/version", version).on("GET", "/dags", {"dags": [], "total_entries": 0})
    airflow.otherwise(UNKNOWN)
    own = clients(airflow, [])
    with pytest.raises(LoginError):
        await own.version()
    async with own.borrow("joe", bringing("bad")) as client:
        with pytest.raises(LoginError):
            await client.send(DAGS)
    for _ in range(2):
        async with own.borrow("ann", bringing("good")) as client:
            await client.send(DAGS)
    asked = len(airflow.seen)
    assert str(await own.version()) == "3.3"
    assert len(airflow.seen) == asked


async def test_a_login_that_fails_at_the_version_is_not_told_to_who_waits_beside_it() -> None:
    waiting = anyio.Event()

    async def version(sent: Sent) -> Reply:
        if sent.headers.get("authorization") == "Bearer good":
            return Reply(200, {"version": "3.3.2"})
        await waiting.wait()
        return UNKNOWN

    airflow = FakeAirflow().on("GET", "/version", version).on("GET", "/dags", {"dags": [], "total_entries": 0})
    airflow.otherwise(UNKNOWN)
    own = clients(airflow, [])
    outcomes: dict[str, object] = {}

    async def ask(token: str) -> None:
        async with own.borrow(token, bringing(token)) as client:
            try:
                outcomes[token] = (await client.send(DAGS)).status
            except LoginError as error:
                outcomes[token] = type(error)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "bad")
        group.start_soon(ask, "good")
        await anyio.wait_all_tasks_blocked()
        waiting.set()
    assert outcomes == {"bad": LoginOnHoldError, "good": 200}


def test_nothing_that_a_caller_brings_is_shown() -> None:
    credentials = CallerCredentials(True, "an-issued-token", {"default": "an-airflow-token"})
    own = CallerLogin("a-secret", Remembered("t", []))
    for shown in (repr(credentials), repr(Caller(credentials=credentials)), repr(own)):
        assert "an-issued-token" not in shown
        assert "an-airflow-token" not in shown
        assert "a-secret" not in shown
