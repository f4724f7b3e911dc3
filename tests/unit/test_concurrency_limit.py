"""Requests of ours wait for a place at an Airflow; whoever waits for a login has none."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest

from airflow_mcp.airflow.auth.auth_method import AuthHeaders, AuthMethod, AuthRequest, build_bearer
from airflow_mcp.airflow.caller_clients import CallerClients
from airflow_mcp.airflow.caller_credentials import CallerCredentials, CallerLogin
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.wire import Request
from airflow_mcp.errors import AirflowUnreachableError
from tests.unit.assistant import A_TOKEN
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent

pytestmark = pytest.mark.anyio
DAGS = Request("GET", "/api/v2/dags", (), None, "application/json", True)


class Slow(AuthMethod):
    """A login that takes until it is let go; what it gives first is refused if `refused`."""

    def __init__(self, *, refused: bool = False) -> None:
        self.asked, self.go_on = anyio.Event(), anyio.Event()
        self._refused = refused

    def describe(self) -> str:
        return "a slow login"

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        if self._refused and not request.refused:
            return build_bearer("bad")
        self.asked.set()
        await self.go_on.wait()
        return build_bearer("good")


@pytest.mark.parametrize("refused", [False, True])
async def test_while_one_caller_waits_for_a_slow_login_another_is_answered(refused: bool) -> None:
    def dags(sent: Sent) -> Reply:
        return Reply(200 if sent.headers["authorization"] == "Bearer good" else 401)

    airflow = FakeAirflow().on("GET", "/dags", dags)
    slow, quick = Slow(refused=refused), Slow()
    quick.go_on.set()
    ways = {"slow": slow, "quick": quick}
    shared = AirflowClient(airflow.url, A_TOKEN, transport=airflow.transport, backoff=0, timeout=5)
    own = CallerClients(shared, lambda credentials: CallerLogin(credentials.issued, ways[credentials.issued]))
    answers: list[int] = []

    async def ask(name: str) -> None:
        async with own.borrow(name, CallerCredentials(True, name)) as client:
            answers.append((await client.send(DAGS)).status)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask, "slow")
        await slow.asked.wait()
        await anyio.wait_all_tasks_blocked()
        await ask("quick")
        assert answers == [200]
        slow.go_on.set()
    assert answers == [200] * 21


async def test_a_stream_keeps_its_place_until_it_is_read() -> None:
    airflow = FakeAirflow().on("GET", "/dags", Reply(200, "text"))
    client = AirflowClient(airflow.url, A_TOKEN, transport=airflow.transport, backoff=0, timeout=0.2)
    async with AsyncExitStack() as streams:
        for _ in range(4):
            await streams.enter_async_context(client.stream(DAGS))
        with pytest.raises(AirflowUnreachableError, match=r"no turn came within 0\.2 seconds"):
            await streams.enter_async_context(client.stream(DAGS))
        assert (await client.send(DAGS)).status == 200, "streams leave half of the places to others"
    async with client.stream(DAGS) as (status, _):
        assert status == 200


class Held:
    """An Airflow that answers when it is told to; those in `quick` at once."""

    def __init__(self, *quick: str) -> None:
        self.go_on = anyio.Event()
        self._quick = quick
        self.asking = 0

    async def __call__(self, sent: Sent) -> Reply:
        if sent.asked.get("who") not in self._quick:
            self.asking += 1
            await self.go_on.wait()
        return Reply(200, "text")


def dags_for(who: str) -> Request:
    return Request("GET", "/api/v2/dags", (("who", who),), None, "application/json", True)


@pytest.mark.parametrize("noisy", [1, 2])
@pytest.mark.parametrize("stream", [False, True])
async def test_no_caller_takes_all_places_of_an_airflow(noisy: int, stream: bool) -> None:
    held = Held("quiet")
    airflow = FakeAirflow().on("GET", "/dags", held)
    client = AirflowClient(airflow.url, A_TOKEN, transport=airflow.transport, backoff=0, timeout=5)
    await client.version()
    answered: list[str] = []

    async def ask(who: str) -> None:
        async with client.borrow(who, CallerCredentials(True, share=who)) as own:
            if stream and who != "quiet":
                async with own.stream(dags_for(who)):
                    answered.append(who)
            else:
                assert (await own.send(dags_for(who))).status == 200
                answered.append(who)

    async with anyio.create_task_group() as group:
        for number in range(noisy):
            for _ in range(20):
                group.start_soon(ask, f"noisy {number}")
        await anyio.wait_all_tasks_blocked()
        assert 0 < held.asking < 8
        for _ in range(50):
            await ask("quiet")
        assert answered == ["quiet"] * 50
        held.go_on.set()
    assert len(answered) == 50 + 20 * noisy
