"""Callers that leave, dawdle or are cut short by a shutdown take nothing from the others, and no change gets lost."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from airflow_mcp.server.http.admission import Admission, AdmissionRules
from airflow_mcp.server.http.gate import Gate, GateLimits
from airflow_mcp.server.http.refusals import Refusals
from tests.http.serving import Served, accepted
from tests.http.upstream import listening
from tests.load.airflow import Fault, none_of_them
from tests.load.conftest import Standing
from tests.load.crowd import Connection, connection, one_call, prepared
from tests.load.wire import message, read_message

pytestmark = pytest.mark.anyio
AT_ONCE = 8
GET_DAG = prepared("get_dag", {"dag_id": "etl"})
TRIGGER = prepared("trigger_dag_run", {"dag_id": "etl", "dag_run_id": "mine"})


async def opened(url: str) -> Connection:
    where = url.removeprefix("http://").split(":")
    return Connection(*await asyncio.open_connection(where[0], int(where[1])))


async def test_a_read_whose_caller_leaves_is_broken_off_and_frees_its_place(standing: Standing) -> None:
    async with standing() as (airflow, served):
        airflow.faults = lambda method, path: Fault.HELD
        callers = [await opened(served.url) for _ in range(AT_ONCE)]
        for caller in callers:
            caller.writer.write(GET_DAG)
        await airflow.until(lambda: airflow.held == AT_ONCE)
        for caller in callers:
            caller.writer.close()
        await airflow.until(lambda: airflow.left == AT_ONCE)
        airflow.faults = none_of_them
        assert (await one_call(served.url, GET_DAG)).succeeded


async def test_a_change_whose_caller_leaves_is_finished_and_audited(standing: Standing, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    async with standing(config='allow = "trigger_dag_run"\n', audit=str(audit)) as (airflow, served):
        airflow.faults = lambda method, path: Fault.HELD if method == "POST" else None
        caller = await opened(served.url)
        caller.writer.write(TRIGGER)
        await airflow.until(lambda: airflow.held == 1)
        caller.writer.close()
        await caller.writer.wait_closed()
        assert (await one_call(served.url, GET_DAG)).succeeded  # by then the server has seen the other one leave
        airflow.release.set()
        await airflow.until(lambda: "mine" in airflow.runs)
    assert airflow.left == 0
    assert airflow.changes == ["POST mine"]
    ends = [line for line in map(json.loads, audit.read_text().splitlines()) if line["phase"] == "ends"]
    (told,) = [line for line in ends if line["tool"] == "trigger_dag_run"]
    assert (told["decision"], told["status"]) == ("allowed", 200)


async def test_clients_that_dawdle_over_headers_or_body_do_not_block_others(standing: Standing) -> None:
    async with standing() as (_, served):
        slow = [await opened(served.url) for _ in range(300)]
        for number, one in enumerate(slow):
            one.writer.write(GET_DAG[: len(GET_DAG) - 10] if number % 3 == 0 else GET_DAG[:60])
            await one.writer.drain()
        assert (await one_call(served.url, GET_DAG)).succeeded
        assert (await one_call(served.url, message("GET /healthz HTTP/1.1", {"Host": "x"}))).status == 200
        for one in slow:
            one.writer.close()
            await one.writer.wait_closed()
        assert (await one_call(served.url, GET_DAG)).succeeded
        assert "Traceback" not in served.stderr


async def test_a_body_that_dawdles_gives_its_place_at_the_gate_back() -> None:
    """Its time is shorter here than an operator's server has it, so that the test need not wait."""

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)

    limits = GateLimits(hosts=("127.0.0.1:*",), origins=(), calls=1, per_minute=1000, body_seconds=0.05)
    reasons: list[str] = []
    refusals = Refusals(limits.per_minute, reasons.append)
    inner = Starlette(routes=[Mount("/", reads)])
    admission = Admission(inner, limits, AdmissionRules(frozenset(), ()), refusals)
    with listening(Gate(admission, limits, refusals)) as url:
        slow = await opened(url)
        slow.writer.write(GET_DAG[:-10])
        answer = await read_message(slow.reader)
        assert answer.first.split()[1] == "408"
        assert b"did not come within 0.05 seconds" in answer.body
        assert "bytes" in (await one_call(url, GET_DAG)).text
        assert reasons == ["slow"]
        slow.writer.close()


async def test_at_sigterm_calls_in_flight_finish_and_new_connections_are_refused(standing: Standing) -> None:
    async with standing(config=accepted("alice", "token-of-alice"), toolsets="all") as (airflow, served):
        asked = prepared("get_dag", {"dag_id": "etl"}, token="token-of-alice")
        async with connection(served.url) as kept:
            assert (await kept.ask(asked)).succeeded
            airflow.faults = lambda method, path: Fault.HELD
            calls = [asyncio.create_task(one_call(served.url, asked)) for _ in range(3)]
            legacy = asyncio.create_task(_legacy_call(served))
            await airflow.until(lambda: airflow.held == 4)  # one caller's share of what is sent to Airflow at once
            served.process.send_signal(signal.SIGTERM)
            while await _is_let_in(served.url):
                pass  # until it has heard the signal
            airflow.release.set()
            assert all(answer.succeeded for answer in await asyncio.gather(*calls))
            assert (await legacy)["dag_id"] == "etl"
        code = await anyio.to_thread.run_sync(served.process.wait)
        assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        assert "Traceback" not in served.stderr


@pytest.mark.parametrize("legacy", [False, True], ids=["modern", "legacy"])
async def test_a_change_that_outlasts_the_time_to_drain_has_its_end_in_the_trail(
    standing: Standing, tmp_path: Path, legacy: bool
) -> None:
    audit = tmp_path / "audit.jsonl"
    allow = 'allow = "trigger_dag_run"\n'
    async with standing(config=allow, audit=str(audit), http_drain="1") as (airflow, served):
        airflow.faults = lambda method, path: Fault.HELD if method == "POST" else None
        call = asyncio.create_task(_legacy_trigger(served) if legacy else one_call(served.url, TRIGGER))
        await airflow.until(lambda: airflow.held == 1)
        served.process.send_signal(signal.SIGTERM)
        await anyio.to_thread.run_sync(served.hear, "timeout graceful shutdown exceeded")
        airflow.release.set()
        await anyio.to_thread.run_sync(served.process.wait)
        await asyncio.gather(call, return_exceptions=True)
    assert airflow.changes == ["POST mine"]
    lines = [line for line in map(json.loads, audit.read_text().splitlines()) if line["tool"] == "trigger_dag_run"]
    assert [line["phase"] for line in lines] == ["begins", "ends"]


async def _legacy_trigger(served: Served) -> object:
    async with served.assistant(mode="legacy") as someone:
        return await someone.client.call_tool("trigger_dag_run", {"dag_id": "etl", "dag_run_id": "mine"})


async def _is_let_in(url: str) -> bool:
    try:
        (await opened(url)).writer.close()
    except ConnectionError:
        return False
    return True


async def _legacy_call(served: Served) -> dict[str, object]:
    async with served.assistant("token-of-alice", mode="legacy") as alice:
        await alice.tools()  # the SDK's client asks for them after its first call: by then nobody would answer
        return await alice.ask("get_dag", dag_id="etl")
