"""A read of a run that names none is about the DAG's latest run, or its latest that ended as the caller says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.catalog.loader import Tool, load_catalog
from airflow_mcp.catalog.versions import Version
from tests.permissions.support import connected, whole_call
from tests.permissions.world import World
from tests.unit.assistant import GENERATIONS, table
from tests.unit.fake_airflow import FakeAirflow, Sent
from tests.unit.samples import dag, dag_run, dag_run_v1, page, task_instance

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
every_version = pytest.mark.parametrize("version", GENERATIONS)
STATES = {"r3": "running", "r2": "failed", "r1": "success"}  # newest first
TAKING = [tool for tool in load_catalog().tools.values() if tool.entry.takes_latest]


def airflow_of(version: str) -> FakeAirflow:
    """An Airflow whose DAG etl has three runs, with one task instance each."""
    made = dag_run if version.startswith("3") else dag_run_v1

    def runs(sent: Sent) -> Json:
        asked = sent.asked.get("state")
        fitting = [run for run, state in STATES.items() if asked in (None, state)]
        rows = [made(run, STATES[run], dag_id="etl") for run in fitting]
        return page("dag_runs", rows[: int(sent.asked["limit"])], len(rows))

    airflow = FakeAirflow(version).on("GET", "/dags/etl/dagRuns", runs).on("GET", "/dags/etl", dag(dag_id="etl"))
    for run, state in STATES.items():
        rows = [task_instance(f"task{number}", dag_id="etl", dag_run_id=run) for number in range(60)]
        airflow.on("GET", f"/dags/etl/dagRuns/{run}", made(run, state, dag_id="etl"))
        airflow.on("GET", f"/dags/etl/dagRuns/{run}/taskInstances", page("task_instances", rows, 60))
        airflow.on("GET", f"/dags/etl/dagRuns/{run}/taskInstances/load", rows[0] | {"task_id": "load"})
    return airflow


@pytest.mark.parametrize(("latest", "run"), [({}, "r3"), ({"latest": "failed"}, "r2"), ({"latest": "success"}, "r1")])
@every_version
async def test_the_run_that_is_meant_is_found_and_named(version: str, latest: Json, run: str) -> None:
    airflow = airflow_of(version)
    async with connected(airflow) as someone:
        assert (await someone.ask("get_dag_run", dag_id="etl", **latest))["dag_run_id"] == run
        assert (await someone.ask("get_task_instance", dag_id="etl", task_id="load", **latest))["dag_run_id"] == run
        listed = await someone.ask("list_task_instances", dag_id="etl", **latest, max_chars=1500)
        assert listed["dag_run_id"] == run
        assert listed["more"]["dag_run_id"] == run, "the next page is of the same run, whatever came since"


@pytest.mark.parametrize("tool", TAKING, ids=lambda tool: tool.name)
@every_version
async def test_every_read_of_a_run_takes_the_latest_in_one_request_more(version: str, tool: Tool) -> None:
    if not tool.entry.since.has(Version.parse(version)):
        pytest.skip("this Airflow has none")
    asked: list[list[str]] = []
    arguments = {name: value for name, value in whole_call(tool).items() if name != "dag_run_id"}
    for named in ({"dag_run_id": "r1"}, {}):
        world = World(version)
        async with connected(world.airflow) as someone:
            result = await someone.client.call_tool(tool.name, {**arguments, **named})
            if not result.is_error and not named:
                assert (result.structured_content or {})["dag_run_id"] == "r1"
        asked.append([sent.path for sent in world.airflow.seen if "version" not in sent.path])
    runs = f"/dags/{arguments['dag_id']}/dagRuns"
    extra = list(asked[1])
    extra.remove(next(path for path in extra if path.endswith(runs)))
    assert extra == asked[0]


@every_version
async def test_a_run_is_named_in_one_way_and_of_one_dag(version: str) -> None:
    async with connected(airflow_of(version)) as someone:
        both = await someone.refused("get_dag_run", dag_id="etl", dag_run_id="r1", latest="failed")
        assert "not both" in both
        assert "dag_run_id is required where dag_id is '~'" in await someone.refused("list_task_instances", dag_id="~")
        assert "latest must be one of" in await someone.refused("get_dag_run", dag_id="etl", latest="newest")


@every_version
async def test_a_dag_without_such_a_run_says_so(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag(dag_id="etl"))
    airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", [])).on("GET", "/dags", page("dags", [dag(dag_id="etl")]))
    async with connected(airflow) as someone:
        assert "has no run that ended as failed" in await someone.refused("get_dag_run", dag_id="etl", latest="failed")
        assert "'etl' has no run." in await someone.refused("get_dag_run", dag_id="etl")
        assert "There is no DAG 'elt'" in await someone.refused("get_dag_run", dag_id="elt")


@every_version
async def test_a_denied_dag_is_asked_nothing_and_the_trail_names_the_run(version: str, tmp_path: Path) -> None:
    world, audit = World(version), tmp_path / "audit.jsonl"
    policy: Json = {"deny": [{"tools": ["*"], "dags": ["payroll_*"]}]}
    async with connected(world.airflow, policy, audit=str(audit)) as someone:
        assert "denies it" in await someone.refused("get_dag_run", dag_id="payroll_a")
        assert not any("payroll_a" in sent.path for sent in world.airflow.seen)
        await someone.ask("get_dag_run", dag_id="etl_a")
    refused, answered = map(json.loads, audit.read_text().splitlines())
    assert "dag_run_id" not in refused["arguments"]
    assert answered["arguments"] == {"dag_id": "etl_a", "dag_run_id": "r1"}


async def test_the_latest_run_needs_the_leave_to_list_runs() -> None:
    world = World()
    policy: Json = {"deny": [{"tools": ["list_dag_runs"]}]}
    async with connected(world.airflow, policy) as someone:
        assert "list_dag_runs is not allowed" in await someone.refused("get_dag_run", dag_id="etl_a")
        assert (await someone.ask("get_dag_run", dag_id="etl_a", dag_run_id="r1"))["dag_run_id"] == "r1"


@every_version
async def test_a_list_of_runs_shows_how_long_each_took_and_claims_nothing_of_one_that_runs(version: str) -> None:
    made = dag_run if version.startswith("3") else dag_run_v1
    times = {"start_date": "2026-11-21T08:00:00Z", "end_date": "2026-11-21T08:01:30.5Z", "duration": None}
    ended = made("r1", "success", dag_id="etl", **times)
    running = made("r2", "running", dag_id="etl", **times | {"end_date": None})
    airflow = FakeAirflow(version).on("GET", "/dags/etl/dagRuns", page("dag_runs", [running, ended]))
    async with connected(airflow) as someone:
        rows = table(await someone.ask("list_dag_runs", dag_id="etl"))
    assert [row["duration"] for row in rows] == [None, 90.5]
