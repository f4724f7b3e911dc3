"""A route of Airflow that costs more than its answer is worth is asked where the table of such routes says, alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.operations.route_costs import ROUTE_COSTS
from tests.permissions.support import connected, whole_call
from tests.permissions.world import World
from tests.unit.assistant import assistant
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import dag, dag_run, page, task_instance

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
ONE_RUN = re.compile(r"GET /dags/[^/]+/dagRuns/[^/]+")
RUN: Json = {"dag_id": "etl_a", "dag_run_id": "r1"}
URL = "http://airflow.example:8080/dags/etl_a/runs/r1"


async def costly(version: str) -> dict[str, list[str]]:
    """The requests for one run by its own route, by the tool that sent them; every tool is called once."""
    found: dict[str, list[str]] = {}
    for tool in load_catalog().tools.values():
        if not tool.entry.since.has(Version.parse(version)):
            continue
        world = World(version)
        names = {use.table for use in tool.entry.params}
        arguments = whole_call(tool, **RUN) if "dag_id" in names or "url" not in names else {"url": URL}
        arguments |= {"timeout_seconds": 1} if "timeout_seconds" in names else {}
        async with connected(world.airflow, {"allow": [{"tools": ["*", "@admin"], "confirm": "never"}]}) as someone:
            await someone.client.call_tool(tool.name, arguments)
        if lines := [line for line in world.airflow.lines() if ONE_RUN.fullmatch(line)]:
            found[tool.name] = lines
    return found


@pytest.mark.parametrize("version", ["3.1.8", "3.3.2"])
async def test_no_tool_asks_for_one_run_by_its_own_route_where_the_list_shows_it(version: str) -> None:
    assert await costly(version) == {}


async def test_airflow_2_is_asked_for_one_run_by_its_own_route() -> None:
    assert {"get_dag_run", "wait_for_dag_run", "diagnose_dag_run", "resolve_url"} <= {*await costly("2.11.2")}


def test_every_costly_route_is_named_with_its_measurement_and_what_to_ask_instead() -> None:
    operations = load_catalog().operations
    for cost in ROUTE_COSTS:
        assert cost.operation in operations
        assert cost.grows_with
        assert re.search(r"\d", cost.measured)
        assert cost.instead
        if cost.row_of:
            assert cost.still_asked
            listing = operations[cost.row_of.operation].entry
            assert cost.row_of.pattern in {use.name for use in listing.params}
            assert cost.row_of.rows == listing.rows_key("v2")
            assert listing.record == operations[cost.operation].entry.record


@pytest.mark.parametrize("dag_run_id", ["a|b", "100%", "r_1", "manual__2026-01-01T00:00:00+00:00"])
async def test_a_run_is_that_of_the_whole_id_whatever_else_its_pattern_finds(dag_run_id: str) -> None:
    rows = [dag_run(other) for other in (f"{dag_run_id}_again", "rx1", "a", dag_run_id)]
    airflow = FakeAirflow("3.3.2").on("GET", "/dags/etl/dagRuns", page("dag_runs", rows))
    async with assistant(airflow) as someone:
        answer = await someone.ask("get_dag_run", dag_id="etl", dag_run_id=dag_run_id)
    assert answer["dag_run_id"] == dag_run_id
    (sent,) = airflow.sent
    assert sent.asked["run_id_pattern"] == dag_run_id


@pytest.mark.parametrize("listed", [page("dag_runs", [dag_run("r2")], 900), Reply(404, {"detail": "no such DAG"})])
async def test_a_run_that_the_list_does_not_show_is_asked_for_itself(listed: Any) -> None:
    """Its pattern finds too many, or Airflow knows the DAG from its history alone."""
    airflow = FakeAirflow("3.3.2").on("GET", "/dags/etl/dagRuns", listed)
    airflow.on("GET", "/dags/etl/dagRuns/r", dag_run("r", "success"))
    async with assistant(airflow) as someone:
        assert (await someone.ask("get_dag_run", dag_id="etl", dag_run_id="r"))["state"] == "success"
    assert airflow.lines() == ["GET /dags/etl/dagRuns", "GET /dags/etl/dagRuns/r"]


async def test_an_empty_list_of_task_instances_looks_its_run_up_in_the_list_of_runs() -> None:
    airflow = FakeAirflow("3.3.2").on("GET", "/dags/etl/dagRuns", page("dag_runs", [dag_run("r")]))
    airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances", page("task_instances", []))
    airflow.on("GET", "/dags/etl", dag(dag_id="etl")).on("GET", "/dags/etl/dagRuns/r", task_instance())
    async with assistant(airflow) as someone:
        answer = await someone.ask("list_task_instances", dag_id="etl", dag_run_id="r")
    assert answer["rows"] == []
    assert airflow.lines() == ["GET /dags/etl/dagRuns/r/taskInstances", "GET /dags/etl/dagRuns"]
