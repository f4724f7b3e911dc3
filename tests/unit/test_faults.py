"""What goes wrong between here and Airflow: retried where that is safe, never done twice, told in words to act on."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest

from airflow_mcp.airflow.credentials import Credentials
from tests.unit.assistant import ERAS, GENERATIONS, Assistant, assistant
from tests.unit.fake_airflow import HTML_404, FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run

pytestmark = pytest.mark.anyio
UNSENT = [httpx2.ConnectError("refused"), httpx2.ConnectTimeout("slow"), httpx2.PoolTimeout("busy")]
SENT = [
    httpx2.ReadTimeout("slow"),
    httpx2.ReadError("reset"),
    httpx2.WriteError("broken pipe"),
    httpx2.RemoteProtocolError("closed"),
    ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required"),
]
BUSY = [Reply(status, "<html>busy</html>") for status in (500, 502, 503, 504)]


def named(value: Any) -> str:
    return str(value.status) if isinstance(value, Reply) else type(value).__name__


@pytest.mark.parametrize("fault", [*UNSENT, *SENT, *BUSY], ids=named)
async def test_a_read_is_tried_again_until_it_is_answered(fault: Any) -> None:
    airflow = FakeAirflow().on("GET", "/dags/etl", fault, fault, dag())
    async with assistant(airflow) as someone:
        assert (await someone.ask("get_dag", dag_id="etl"))["dag_id"]
    assert airflow.lines() == ["GET /dags/etl"] * 3


@pytest.mark.parametrize("fault", [*UNSENT, *SENT, *BUSY], ids=named)
async def test_a_read_is_given_up_after_three_tries(fault: Any) -> None:
    airflow = FakeAirflow().on("GET", "/dags/etl", fault)
    async with assistant(airflow) as someone:
        assert len(await someone.refused("get_dag", dag_id="etl")) <= 600
    assert len(airflow.sent) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 422, 429])
async def test_a_read_that_airflow_decided_on_is_not_tried_again(status: int) -> None:
    airflow = FakeAirflow().on("GET", "/health", Reply(status)).on("GET", "/monitor/health", Reply(status))
    async with assistant(airflow) as someone:
        assert str(status) in await someone.refused("get_health")
    assert len(airflow.sent) == 1


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("pause_dag", {"dag_id": "etl"}, "PATCH /dags/etl"),
    ("create_pool", {"pool_name": "small", "slots": 1}, "POST /pools"),
    ("delete_dag", {"dag_id": "etl"}, "DELETE /dags/etl"),
    ("clear_dag_run", {"dag_id": "etl", "dag_run_id": "r", "dry_run": False}, "POST /dags/etl/dagRuns/r/clear"),
    ("set_dag_run_state", {"dag_id": "etl", "dag_run_id": "r", "state": "failed"}, "PATCH /dags/etl/dagRuns/r"),
]


def is_dry(sent: Sent) -> bool:
    return isinstance(sent.body, dict) and sent.body.get("dry_run") is True


@pytest.mark.parametrize("fault", [*SENT, *BUSY], ids=named)
@pytest.mark.parametrize(("tool", "arguments", "line"), CHANGES)
async def test_a_change_that_may_have_left_is_never_sent_again(
    tool: str, arguments: dict[str, Any], line: str, fault: Any
) -> None:
    airflow = FakeAirflow().otherwise(fault)
    async with assistant(airflow, allow=("*",)) as someone:
        sentence = await someone.refused(tool, **arguments)
    assert [one.line for one in airflow.sent if one.method != "GET" and not is_dry(one)] == [line]
    assert "may or may not have happened" in sentence


@pytest.mark.parametrize("fault", UNSENT, ids=named)
async def test_a_change_that_cannot_have_left_is_tried_again(fault: Exception) -> None:
    airflow = FakeAirflow().on("PATCH", "/dags/etl", fault, dag(is_paused=True))
    async with assistant(airflow, allow=("*",)) as someone:
        await someone.ask("pause_dag", dag_id="etl")
    airflow = FakeAirflow().on("PATCH", "/dags/etl", fault)
    async with assistant(airflow, allow=("*",)) as someone:
        assert "may or may not" not in await someone.refused("pause_dag", dag_id="etl")
    assert len(airflow.sent) == 3


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("fault", [*SENT, *BUSY], ids=named)
async def test_a_run_whose_answer_was_lost_is_found_and_not_started_twice(version: str, fault: Any) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag(is_paused=False))
    airflow.on("POST", "/dags/etl/dagRuns", fault)
    airflow.on("GET", "/dags/etl/dagRuns/mine", dag_run("mine", "running"))
    async with assistant(airflow, allow=("@write",)) as someone:
        answer = await someone.ask("trigger_dag_run", dag_id="etl", dag_run_id="mine")
    assert (answer["dag_run_id"], answer["state"]) == ("mine", "running")
    assert [sent.line for sent in airflow.sent if sent.method == "POST"] == ["POST /dags/etl/dagRuns"]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("fault", [SENT[0], BUSY[2]], ids=named)
async def test_a_run_that_was_lost_with_its_answer_is_said_not_to_be_there(version: str, fault: Any) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag()).on("POST", "/dags/etl/dagRuns", fault)
    async with assistant(airflow, allow=("@write",)) as someone:
        sentence = await someone.refused("trigger_dag_run", dag_id="etl", dag_run_id="mine")
    assert "Airflow has no run 'mine' now" in sentence
    assert "safe" in sentence
    assert len([sent for sent in airflow.sent if sent.method == "POST"]) == 1


async def test_a_run_id_that_makes_2x_fail_is_met_with_the_characters_it_may_have() -> None:
    airflow = FakeAirflow("2.11.2").on("GET", "/dags/etl", dag()).on("POST", "/dags/etl/dagRuns", Reply(500, "<html>"))
    async with assistant(airflow, allow=("@write",)) as someone:
        sentence = await someone.refused("trigger_dag_run", dag_id="etl", dag_run_id="my run!")
    assert "'my run!'" in sentence
    assert "letters, digits" in sentence


async def test_an_airflow_that_cannot_be_reached_is_named_without_credentials() -> None:
    airflow = FakeAirflow().on("GET", "/dags/etl", httpx2.ConnectError("All connection attempts failed"))
    async with assistant(airflow, credentials=Credentials(token="tok-of-ann")) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert sentence.startswith("Airflow at http://airflow.example:8080 cannot be reached.")
    assert "AIRFLOW_MCP_URL" in sentence
    assert "tok-of-ann" not in sentence


async def test_a_timeout_names_its_setting_and_its_length() -> None:
    airflow = FakeAirflow().on("GET", "/dags/etl", httpx2.ReadTimeout("slow"))
    async with assistant(airflow, timeout=7.5) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "within 7.5 seconds (AIRFLOW_MCP_TIMEOUT)" in sentence


@pytest.mark.parametrize(
    "text",
    ["[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "[SSL] bad handshake"],
)
async def test_a_certificate_that_is_not_trusted_names_the_setting_that_mends_it(text: str) -> None:
    airflow = FakeAirflow().on("GET", "/version", httpx2.ConnectError(text))
    async with assistant(airflow) as someone:
        assert "AIRFLOW_MCP_CA_FILE" in await someone.refused("list_dags")


async def test_the_page_of_a_failing_airflow_is_not_shown() -> None:
    html = Reply(500, "<!doctype html><h1>Ooops!</h1><pre>password=hunter2</pre>", {"content-type": "text/html"})
    airflow = FakeAirflow().on("GET", "/dags/etl", html)
    async with assistant(airflow) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "failed to answer get_dag (500)" in sentence
    assert "<" not in sentence
    assert "Ooops" not in sentence


@pytest.mark.parametrize(
    "body", ["<html>log in</html>", "{", "\xff\xfe", "{" * 200_000], ids=["page", "cut", "bytes", "long"]
)
async def test_a_body_that_is_not_json_is_said_to_be_something_else(body: str) -> None:
    airflow = FakeAirflow().on("GET", "/dags/etl", Reply(200, body.encode("latin-1")))
    async with assistant(airflow) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "not JSON" in sentence
    assert "AIRFLOW_MCP_URL" in sentence


@pytest.mark.parametrize("body", ["[]", "3", '"x"', "null"])
@pytest.mark.parametrize("tool", ["get_dag", "list_dags"])
async def test_json_of_another_shape_is_never_shown_as_an_answer(tool: str, body: str) -> None:
    airflow = FakeAirflow().otherwise(Reply(200, body))
    async with assistant(airflow) as someone:
        result = await someone.client.call_tool(tool, {"dag_id": "etl"} if tool == "get_dag" else {})
    assert result.is_error, result.structured_content


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            409,
            {"detail": {"reason": "Unique constraint violation", "statement": "INSERT", "orig_error": "x"}},
            "exists",
        ),
        (400, {"title": "Bad Request", "detail": "Invalid input for param rows"}, "Invalid input for param rows"),
        (422, {"detail": [{"loc": ["body", "slots"], "msg": "Input should be valid"}]}, "slots: Input should be valid"),
        (404, {"title": "Pool not found", "detail": None}, "Pool not found"),
        (400, {"detail": "x" * 5000}, "xxx"),
        (429, {}, "slow down"),
        (418, {"detail": "teapot"}, "418"),
        (400, {"detail": [1, None, {"msg": "not a slot"}]}, "not a slot"),
    ],
)
async def test_airflows_own_words_are_passed_on(version: str, status: int, body: dict[str, Any], words: str) -> None:
    airflow = FakeAirflow(version).otherwise(Reply(status, body))
    async with assistant(airflow, allow=("*",)) as someone:
        sentence = await someone.refused("create_pool", pool_name="small", slots=1)
    assert words in sentence
    assert "INSERT" not in sentence
    assert len(sentence) <= 600


async def test_an_answer_beyond_what_fits_in_memory_is_not_read() -> None:
    sent: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for number in range(10_000):
            sent.append(number)
            yield b" " * 2**20

    airflow = FakeAirflow().on("GET", "/dags/etl", lambda _: Reply(200, endless()))
    async with assistant(airflow) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "larger than 32 MiB" in sentence
    assert len(sent) <= 34


@pytest.mark.parametrize("mode", ERAS)
async def test_a_fault_of_one_call_does_not_touch_another(mode: str) -> None:
    gone = anyio.Event()

    async def hold(sent: Sent) -> Reply:
        await gone.wait()
        return Reply(200, dag(dag_id="slow"))

    airflow = FakeAirflow().on("GET", "/dags/slow", hold).on("GET", "/dags/bad", Reply(400, HTML_404))
    answers: list[str] = []

    async def ask(someone: Assistant) -> None:
        answers.append((await someone.ask("get_dag", dag_id="slow"))["dag_id"])

    async with assistant(airflow, mode=mode) as someone, anyio.create_task_group() as group:
        group.start_soon(ask, someone)
        assert "400" in await someone.refused("get_dag", dag_id="bad")
        gone.set()
    assert answers == ["slow"]
