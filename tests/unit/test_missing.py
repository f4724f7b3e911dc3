"""What does not exist is named together with what does, and an empty list never stands for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.assistant import GENERATIONS, assistant
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, page, pool, task_instance

pytestmark = pytest.mark.anyio


def catalogued(version: str) -> FakeAirflow:
    """An Airflow that has DAG etl with run r and task load, and pool small."""
    airflow = FakeAirflow(version)
    airflow.on("GET", "/dags", page("dags", [dag(dag_id="etl"), dag(dag_id="orders")]))
    airflow.on("GET", "/dags/etl", dag(dag_id="etl")).on("GET", "/dags/etl/dagRuns/r", dag_run("r"))
    airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", [dag_run("r")]))
    airflow.on("GET", "/dags/etl/tasks", page("tasks", [{"task_id": "load"}, {"task_id": "check"}]))
    airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances", page("task_instances", [task_instance()]))
    return airflow.on("GET", "/pools", page("pools", [pool("small")]))


MISSING: list[tuple[str, dict[str, Any], list[str]]] = [
    ("get_dag", {"dag_id": "etll"}, ["no DAG 'etll'", "Did you mean etl?"]),
    ("get_dag", {"dag_id": "zzzzzz"}, ["no DAG 'zzzzzz'", '"tool":"list_dags"']),
    ("list_tasks", {"dag_id": "order"}, ["no DAG 'order'", "orders"]),
    ("get_dag_run", {"dag_id": "etll", "dag_run_id": "r"}, ["no DAG 'etll'"]),
    ("get_dag_run", {"dag_id": "etl", "dag_run_id": "q"}, ["DAG 'etl' has no run 'q'", "latest runs: r"]),
    ("get_task_instance", {"dag_id": "etl", "dag_run_id": "q", "task_id": "load"}, ["has no run 'q'"]),
    ("get_task_instance", {"dag_id": "etl", "dag_run_id": "r", "task_id": "laod"}, ["'laod'", "Did you mean load?"]),
    ("get_pool", {"pool_name": "smal"}, ["no pool 'smal'", "Did you mean small?"]),
    ("read_task_log", {"dag_id": "etl", "dag_run_id": "r", "task_id": "laod"}, ["'laod'", "Did you mean load?"]),
    ("wait_for_dag_run", {"dag_id": "etl", "dag_run_id": "q"}, ["has no run 'q'"]),
    ("trigger_dag_run", {"dag_id": "etll"}, ["no DAG 'etll'", "Did you mean etl?"]),
]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(("tool", "arguments", "words"), MISSING)
async def test_what_does_not_exist_is_named_with_what_does(
    version: str, tool: str, arguments: dict[str, str], words: list[str]
) -> None:
    airflow = catalogued(version)
    async with assistant(airflow, allow=("@write",)) as someone:
        sentence = await someone.refused(tool, **arguments)
    for word in words:
        assert word in sentence
    assert not [sent for sent in airflow.sent if sent.method != "GET"]


EMPTY = {"task_instances": [], "dag_runs": [], "xcom_entries": [], "event_logs": [], "dag_warnings": []}


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    ("tool", "arguments", "path", "words"),
    [
        ("list_dag_runs", {"dag_id": "etll"}, "/dags/etll/dagRuns", "no DAG 'etll'"),
        (
            "list_task_instances",
            {"dag_id": "etl", "dag_run_id": "q"},
            "/dags/etl/dagRuns/q/taskInstances",
            "no run 'q'",
        ),
        ("list_task_instances", {"dag_id": "no", "dag_run_id": "q"}, "/dags/no/dagRuns/q/taskInstances", "no DAG 'no'"),
        ("list_event_logs", {"dag_id": "etll"}, "/eventLogs", "no DAG 'etll'"),
        ("list_dag_warnings", {"dag_id": "etll"}, "/dagWarnings", "no DAG 'etll'"),
    ],
)
async def test_an_empty_list_for_what_does_not_exist_is_an_error(
    version: str, tool: str, arguments: dict[str, str], path: str, words: str
) -> None:
    airflow = catalogued(version).on("GET", path, EMPTY | {"total_entries": 0})
    async with assistant(airflow) as someone:
        assert words in await someone.refused(tool, **arguments)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_empty_list_for_what_does_exist_is_an_answer(version: str) -> None:
    airflow = catalogued(version).on("GET", "/dags/etl/dagRuns", page("dag_runs", []))
    async with assistant(airflow) as someone:
        assert (await someone.ask("list_dag_runs", dag_id="etl", state=["failed"]))["rows"] == []
    assert airflow.lines() == ["GET /dags/etl/dagRuns", "GET /dags/etl"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_tilde_means_every_one_and_is_not_looked_up(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/~/dagRuns", page("dag_runs", []))
    airflow.on("GET", "/dags/~/dagRuns/~/taskInstances", page("task_instances", []))
    async with assistant(airflow) as someone:
        assert (await someone.ask("list_dag_runs", dag_id="~"))["total"] == 0
        assert (await someone.ask("list_task_instances", dag_id="~", dag_run_id="~"))["total"] == 0
    assert airflow.lines() == ["GET /dags/~/dagRuns", "GET /dags/~/dagRuns/~/taskInstances"]


async def test_trouble_while_looking_for_near_names_does_not_hide_what_happened() -> None:
    airflow = FakeAirflow().on("GET", "/dags", Reply(403, {"detail": "Forbidden"}))
    async with assistant(airflow) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "404" in sentence
    assert "403" not in sentence


async def test_names_are_looked_for_beyond_the_first_page() -> None:
    def dags(sent: Sent) -> Any:
        pattern = sent.asked.get("dag_id_pattern")
        return page("dags", [dag(dag_id="zeta_orders")] if pattern == "zet" else [dag(n) for n in range(100)], 500)

    airflow = FakeAirflow().on("GET", "/dags", dags)
    async with assistant(airflow) as someone:
        assert "Did you mean zeta_orders?" in await someone.refused("get_dag", dag_id="zeta_order")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_no_more_than_a_few_reads_are_spent_on_names(version: str) -> None:
    airflow = catalogued(version)
    async with assistant(airflow) as someone:
        await someone.refused("get_task_instance", dag_id="etl", dag_run_id="r", task_id="laod")
    assert len(airflow.sent) <= 5


@pytest.mark.parametrize("version", ["2.11.2", "3.0.6"])
async def test_a_404_that_means_an_empty_queue_is_an_empty_list(version: str) -> None:
    path = "/dags/etl/datasets/queuedEvent" if version.startswith("2") else "/dags/etl/assets/queuedEvents"
    airflow = catalogued(version).on("GET", path, Reply(404))
    async with assistant(airflow, toolsets=("all",)) as someone:
        assert (await someone.ask("list_queued_asset_events", dag_id="etl"))["rows"] == []
