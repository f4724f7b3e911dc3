"""A heavy call does not keep others waiting: work is bounded by what is shown, and what is long is done in pieces."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.dispatch.safety.masked_arguments import MOST_SHOWN, mask_call_arguments
from airflow_mcp.server.app import AirflowServer
from tests.unit.assistant import Json, assistant, open_door, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, page, task_instance

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:ping is removed")]
CATALOG = load_catalog()
# How much longer than beside an idle server somebody else's ping may take, in CPU time of this process, which depends
# little on what else the machine does: Python's collector alone takes some hundred times as long, and calls that hold
# the event loop take some thousand times.
MOST_TIMES = 1_000
IDLE_PINGS = 50


@dataclass(frozen=True)
class Heavy:
    """A call, and what Airflow answers it."""

    airflow: Callable[[], FakeAirflow]
    tool: str
    arguments: Json


def in_bytes(value: Json) -> Reply:
    """An answer whose JSON is written beforehand: the stand-in's work is not the server's."""
    return Reply(200, json.dumps(value).encode())


def xcom(value: Any) -> FakeAirflow:
    ids = {"dag_id": "etl", "run_id": "r", "task_id": "t", "map_index": -1, "key": "k"}
    return FakeAirflow().otherwise(in_bytes(ids | {"value": value}))


def runs_to_clear(count: int) -> FakeAirflow:
    rows = [task_instance(f"task_{number}", note="as ever") for number in range(count)]
    return FakeAirflow().otherwise(in_bytes(page("task_instances", rows)))


def failed_run(count: int) -> FakeAirflow:
    """A run in which every one of many tasks failed, each of which waits for forty before it."""
    names = [f"task_{number}" for number in range(count)]
    tasks = [{"task_id": name, "downstream_task_ids": names[at + 1 : at + 41]} for at, name in enumerate(names)]
    rows = [task_instance(name) for name in names]

    def instances(sent: Sent) -> Json:
        offset = int(dict(sent.query).get("offset", 0)) if "failed" in str(sent.query) else count
        return page("task_instances", rows[offset : offset + 100], count if "failed" in str(sent.query) else 0)

    airflow = FakeAirflow().on("GET", "/dags/etl/dagRuns/manual__1", dag_run())
    airflow.on("GET", "/dags/etl/dagRuns/manual__1/taskInstances", instances)
    airflow.on("GET", "/dags/etl", dag()).on("GET", "/dags/etl/dagRuns", page("dag_runs", []))
    return airflow.on("GET", "/dags/etl/tasks", in_bytes(page("tasks", tasks))).otherwise(Reply(404))


def dag_to_trigger() -> FakeAirflow:
    return FakeAirflow().on("GET", "/dags/etl", dag()).otherwise(Reply(404))


def broken_files(count: int) -> FakeAirflow:
    rows = [
        {"import_error_id": at, "filename": f"f{at}.py", "stack_trace": f"{hash(str(at))}Error: {at}"}
        for at in range(count)
    ]
    return FakeAirflow().on("GET", "/importErrors", in_bytes(page("import_errors", rows))).otherwise(Reply(404))


IDS = {"dag_id": "etl", "dag_run_id": "r", "task_id": "t", "xcom_key": "k"}
CLEAR = {"dag_id": "etl", "dag_run_id": "r", "dry_run": False}
HEAVY = {
    "30 MB of text": Heavy(partial(xcom, "x y " * 7_500_000), "get_xcom", IDS),
    "20 MB of objects": Heavy(
        partial(xcom, [{"number": at, "text": "a b c " * 10} for at in range(200_000)]), "get_xcom", IDS
    ),
    "2 MB of one word": Heavy(partial(xcom, "password " * 220_000), "get_xcom", IDS),
    "2 MB of JSON in a text": Heavy(partial(xcom, "[" + '{"token": 1}, ' * 140_000 + "0]"), "get_xcom", IDS),
    "preview of 50,000 rows": Heavy(partial(runs_to_clear, 50_000), "clear_task_instances", CLEAR),
    "1,000 failures in graph order": Heavy(
        partial(failed_run, 1_000), "diagnose_dag_run", {"dag_id": "etl", "dag_run_id": "manual__1"}
    ),
    "4 MB of one argument": Heavy(
        dag_to_trigger, "trigger_dag_run", {"dag_id": "etl", "conf": {"text": "password x y " * 300_000}}
    ),
    "4 MB of many arguments": Heavy(
        dag_to_trigger,
        "trigger_dag_run",
        {"dag_id": "etl", "conf": {"rows": [{"token": str(at), "text": "a b c " * 10} for at in range(50_000)]}},
    ),
    "report of many entries": Heavy(partial(broken_files, 3_000), "health_report", {}),
}


async def longest_ping(client: Client, until: anyio.Event | None = None) -> float:
    """The most CPU seconds from a ping to its answer, of a number of pings, or of all until then."""
    longest = 0.0
    count = 0
    while count < IDLE_PINGS if until is None else not until.is_set():
        began = time.process_time()
        await client.send_ping()  # pyright: ignore[reportDeprecated]
        longest = max(longest, time.process_time() - began)
        count += 1
    return longest


@pytest.mark.parametrize("name", HEAVY)
async def test_ping_of_another_caller_is_answered_while_a_heavy_call_runs(name: str) -> None:
    heavy = HEAVY[name]
    dispatcher = open_door(
        heavy.airflow(), catalog=CATALOG, confirm="plan", allow=("clear_task_instances", "trigger_dag_run")
    )
    server = AirflowServer(Instances({"default": dispatcher}), parse_toolsets((), CATALOG))
    async with Client(server, mode="legacy") as other, Client(server, mode="legacy") as caller:
        await caller.call_tool("get_health", {})  # what is imported at the first call is no part of this
        idle = await longest_ping(other)
        ended = anyio.Event()
        results: list[CallToolResult] = []

        async def call() -> None:
            results.append(await caller.call_tool(heavy.tool, heavy.arguments))
            ended.set()

        beside = 0.0
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            beside = await longest_ping(other, ended)
    (result,) = results
    print(f"{name}: idle {idle:.4f} s, beside it {beside:.4f} s")
    assert not result.is_error, text_of(result)
    assert len(text_of(result)) <= 8_000
    assert beside <= idle * MOST_TIMES


@pytest.mark.parametrize("tool", ["trigger_dag_run", "create_variable", "bulk_variables", "call_changing_tool", "none"])
def test_masking_arguments_costs_what_is_shown_of_them(tool: str) -> None:
    """A hundred times as much is sent, and what is shown, and so the work, stays as it was."""

    def seconds(count: int) -> float:
        text = "password x y " * count
        arguments: Json = {
            "trigger_dag_run": {"dag_id": "etl", "conf": {"text": text}},
            "create_variable": {"variable_key": "k", "description": text, "value": text},
            "bulk_variables": {"create": [{"variable_key": "k", "value": "v", "description": text}]},
            "call_changing_tool": {"tool": "trigger_dag_run", "arguments": {"dag_id": "etl", "conf": [text, text]}},
            "none": {text: text},
        }[tool]
        best = 60.0
        for _ in range(3):
            began = time.process_time()
            answer = mask_call_arguments(CATALOG.tools.get(tool), arguments, CATALOG)
            best = min(best, time.process_time() - began)
            assert len(json.dumps(answer)) < 2 * MOST_SHOWN
        return best

    few, many = seconds(4_000), seconds(400_000)
    print(f"{tool}: {few:.4f} s and {many:.4f} s")
    assert many <= 4 * few + 0.02


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tool", "many"),
    [
        ("get_dag", lambda count: {f"k{at}": 1 for at in range(count)}),
        ("get_dag", lambda count: {"dag_id": "etl", "fields": [f"field_{at}" for at in range(count)]}),
        ("clear_task_instances", lambda count: CLEAR | {"task_ids": [f"task_{at}" for at in range(count)]}),
        ("bulk_pools", lambda count: {"create": [{f"k{at}": 1} for at in range(count)]}),
        ("call_tool", lambda count: {"tool": "get_dag", "arguments": {f"k{at}": 1 for at in range(count)}}),
    ],
)  # fmt: skip
async def test_refusing_many_wrong_arguments_costs_little_beside_reading_them(
    tool: str, many: Callable[[int], Json]
) -> None:
    """What is wrong is told of the first few; the rest is not looked at. Beside it: the JSON of the call read once."""
    arguments = many(60_000)
    async with assistant(FakeAirflow(), catalog=CATALOG, allow=("@write", "@destructive", "create_pool")) as someone:
        await someone.client.call_tool(tool, many(1))
        began = time.process_time()
        sentence = await someone.refused(tool, **arguments)
        seconds = time.process_time() - began
    began = time.process_time()
    written = json.dumps(arguments)
    for _ in range(10):
        json.loads(written)
    reading = time.process_time() - began
    print(f"{tool}: {seconds:.3f} s, its JSON read ten times {reading:.3f} s")
    assert len(sentence) < 1_000
    assert seconds < 4 * reading + 0.1
