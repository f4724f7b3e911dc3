"""One caller's slow bodies, streams, sessions, logs or floods take nobody else's turn."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest

from tests.http.conftest import furnished
from tests.http.serving import PATIENCE, Served, accepted, serving
from tests.http.upstream import upstream
from tests.load.crowd import Connection, connection, one_call, prepared
from tests.load.wire import read_message
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent

pytestmark = pytest.mark.anyio
ACCEPT = {"Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "one", "version": "1"}},
}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
FIND = {name: prepared("find_tools", {"query": "pause"}, token=f"token-of-{name}") for name in ("alice", "bob")}
CALLERS = f'toolsets = "all"\n{accepted("alice", "token-of-alice")}{accepted("bob", "token-of-bob")}'


def bearer(name: str) -> dict[str, str]:
    return {**ACCEPT, "Authorization": f"Bearer token-of-{name}"}


class HeldLogs:
    """Airflow's answer to whoever reads a log: none until it is let go."""

    def __init__(self) -> None:
        self.number = 0
        self.asked = threading.Event()
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def __call__(self, sent: Sent) -> Reply:
        self.number += 1
        go_on = asyncio.Event()
        self._held.append((asyncio.get_running_loop(), go_on))
        self.asked.set()
        await go_on.wait()
        return Reply(200, {"content": []})

    def let_go(self) -> None:
        """Answer those that have asked."""
        for loop, go_on in self._held:
            loop.call_soon_threadsafe(go_on.set)


@pytest.fixture(scope="module")
def logs() -> HeldLogs:
    return HeldLogs()


@pytest.fixture(scope="module")
def small(logs: HeldLogs, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """A server with ten places for calls and twenty sessions."""
    airflow = furnished()
    airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances/t/logs/1", logs)
    airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances/t", {"task_id": "t", "state": "failed", "try_number": 1})
    limits = {"http_max_calls": "10", "http_max_sessions": "20", "http_per_minute": "300"}
    with (
        upstream(airflow) as served_airflow,
        serving(served_airflow, tmp_path_factory.mktemp("small"), config=CALLERS, **limits) as served,
    ):
        yield served
        logs.let_go()


@asynccontextmanager
async def slow_bodies(url: str, request: bytes, number: int) -> AsyncGenerator[list[Connection]]:
    """So many requests of which all but the last bytes have been sent."""
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connection(url)) for _ in range(number)]
        for one in slow:
            one.writer.write(request[:-10])
            await one.writer.drain()
        yield slow


@pytest.mark.parametrize("tokens", [True, False])
async def test_slow_bodies_take_no_place_of_a_call(
    small: Served, airflow: FakeAirflow, tmp_path: Path, tokens: bool
) -> None:
    """Not of another caller's, and not even of their own sender's."""
    if tokens:
        async with slow_bodies(small.url, FIND["alice"], 30):
            for name in ("bob", "alice", "bob"):
                assert (await one_call(small.url, FIND[name])).succeeded
        return
    nobody = prepared("find_tools", {"query": "pause"})
    with serving(airflow, tmp_path, http_max_calls="10") as served:
        async with slow_bodies(served.url, nobody, 30):
            for _ in range(3):
                assert (await one_call(served.url, nobody)).succeeded


async def test_of_a_callers_own_bodies_the_slowest_gives_way(small: Served) -> None:
    async with slow_bodies(small.url, FIND["alice"], 6) as slow:
        answer = await read_message(slow[0].reader)
        assert answer.first.split()[1] == "408"
        assert b"gave way to newer requests" in answer.body
        slow[-1].writer.write(FIND["alice"][-10:])
        assert (await read_message(slow[-1].reader)).first.split()[1] == "200"


async def test_slow_logs_leave_places_at_airflow_to_others(small: Served, logs: HeldLogs) -> None:
    read = {"dag_id": "etl", "dag_run_id": "r", "task_id": "t", "try_number": 1}
    request = prepared("read_task_log", read, token="token-of-alice")
    reading = [asyncio.create_task(one_call(small.url, request)) for _ in range(8)]
    try:
        assert await anyio.to_thread.run_sync(logs.asked.wait, PATIENCE)
        for _ in range(3):
            call = prepared("get_dag", {"dag_id": "etl"}, token="token-of-bob")
            assert (await one_call(small.url, call)).result["dag_id"] == "etl"
        assert logs.number <= 4
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


def test_a_caller_who_opens_many_sessions_loses_its_own(small: Served) -> None:
    def opened(name: str) -> str:
        return small.request("POST", "/mcp", json=INITIALIZE, headers=bearer(name)).headers["mcp-session-id"]

    def status(name: str, session: str) -> int:
        headers = {**bearer(name), "Mcp-Session-Id": session}
        return small.request("POST", "/mcp", json=PING, headers=headers).status_code

    of_bob = opened("bob")
    sessions = [opened("alice") for _ in range(40)]
    assert status("alice", sessions[-1]) == 200
    assert [status("alice", session) for session in sessions[:5]] == [404] * 5
    assert status("bob", of_bob) == 200
    assert status("alice", of_bob) == 404, "nobody uses the session of somebody else"
    assert sum(status("alice", session) == 200 for session in sessions) >= 9
    assert opened("bob")


async def test_listening_streams_of_one_caller_leave_room_for_others(airflow: FakeAirflow, tmp_path: Path) -> None:
    """Four places make sixty-four for streams."""
    with serving(airflow, tmp_path, config=CALLERS, http_max_calls="4") as served:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE, trust_env=False, limits=httpx2.Limits())
            )

            async def listen(name: str) -> int:
                opening = await http.post("/mcp", json=INITIALIZE, headers=bearer(name))
                headers = {**bearer(name), "Mcp-Session-Id": opening.headers["mcp-session-id"]}
                return (await stack.enter_async_context(http.stream("GET", "/mcp", headers=headers))).status_code

            assert [await listen("alice") for _ in range(40)] == [200] * 32 + [503] * 8
            assert await listen("bob") == 200


def test_a_flood_of_one_caller_or_of_strangers_is_nobody_elses(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path, config=CALLERS, http_per_minute="5") as served:

        def statuses(headers: dict[str, str]) -> list[int]:
            return [served.request("POST", "/mcp", json=PING, headers=headers).status_code for _ in range(7)]

        assert statuses({**ACCEPT, "Authorization": "Bearer invented"}) == [401] * 5 + [429] * 2
        assert statuses({**ACCEPT, "Host": "evil.example"}) == [429] * 7, "refusals are counted, whatever for"
        assert statuses({**bearer("alice"), "X-Airflow-MCP-Read-Only": "maybe"}) == [400] * 5 + [429] * 2
        assert statuses(bearer("bob")) == [400] * 5 + [429] * 2  # 400: a ping outside any session
        assert served.request("GET", "/healthz").status_code == 200
        assert served.request("GET", "/readyz").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"X-Airflow-MCP-Instance": "elsewhere"},
        {"X-Airflow-MCP-Toolsets": "nothing"},
        {"X-Airflow-Token": "one"},
        {"X-Airflow-MCP-Bogus": "one"},
    ],
)
def test_names_are_told_to_callers_alone(small: Served, header: dict[str, str]) -> None:
    stranger = small.request("POST", "/mcp", json=PING, headers={**ACCEPT, **header})
    assert stranger.status_code == 401
    assert json.loads(stranger.text)["error"] == "invalid_token"
    forged = small.request("POST", "/mcp", json=PING, headers={**ACCEPT, "Authorization": "Bearer x", **header})
    assert (forged.status_code, forged.text) == (401, stranger.text)
    caller = small.request("POST", "/mcp", json=PING, headers={**bearer("bob"), **header})
    assert caller.status_code == 400
    assert caller.json()["error"]
