"""What runs because of a DAG is followed from DAG to DAG, in a bounded number of requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.permissions.support import NO_PAYROLL, connected
from tests.unit.assistant import GENERATIONS, Json
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag_run, dag_run_v1, page, task_instance
from tests.unit.test_get_dag_overview import SENSORS, airflow_with, overview, task

pytestmark = pytest.mark.anyio
every_version = pytest.mark.parametrize("version", GENERATIONS)
Edges = dict[str, tuple[str, list[str]]]  # asset -> the DAG that writes it, and those that it starts


def airflow_of(version: str, edges: Edges, *tasks: Json, triggers: dict[str, str] | None = None) -> FakeAirflow:
    """An Airflow whose DAGs are tied by assets, and by tasks (DAG -> the DAG that a task of it triggers)."""
    new = version.startswith("3")
    key, name = ("scheduled_dags", "assets") if new else ("consuming_dags", "datasets")
    airflow = airflow_with(version, *tasks)

    def assets(sent: Sent) -> Json:
        asked = {one for word, value in sent.query if word == "dag_ids" for one in value.split(",")}
        rows = [
            {
                "uri": uri,
                "name": uri,
                key: [{"dag_id": one} for one in started],
                "producing_tasks": [{"dag_id": writer, "task_id": "write"}],
            }
            for uri, (writer, started) in edges.items()
            if not asked or asked & {writer, *started}
        ]
        return page(name, rows, len(rows) if new else len(edges))

    airflow.on("GET", f"/{name}", assets)
    run = dag_run if new else dag_run_v1
    for dag_id in {one for writer, started in edges.values() for one in (writer, *started)} - {"etl"}:
        airflow.on("GET", f"/dags/{dag_id}/tasks", page("tasks", [task("write")]))
    for dag_id, other in (triggers or {}).items():
        if dag_id != "etl":
            operator = "TriggerDagRunOperator"
            airflow.on("GET", f"/dags/{dag_id}/tasks", page("tasks", [task("go", operator=operator)]))
            airflow.on("GET", f"/dags/{dag_id}/dagRuns", page("dag_runs", [run("last", "success", dag_id=dag_id)]))
        where = f"/dags/{dag_id}/dagRuns/{'r2' if dag_id == 'etl' else 'last'}/taskInstances/go"
        airflow.on("GET", where, task_instance("go", dag_id=dag_id, rendered_fields={"trigger_dag_id": other}))
    return airflow


@every_version
async def test_consumers_of_consumers_are_found_over_their_assets(version: str) -> None:
    edges: Edges = {"s3://a": ("etl", ["b"]), "s3://b": ("b", ["c", "d"]), "s3://c": ("c", ["e"])}
    airflow = airflow_of(version, edges)
    answer = await overview(airflow)
    assert answer["downstream"] == [
        {"asset": "s3://a", "starts": ["b"]},
        {"from": "b", "asset": "s3://b", "starts": ["c", "d"]},
        {"from": "c", "asset": "s3://c", "starts": ["e"]},
    ]
    assert answer["not_seen"] == [SENSORS]
    kind = "assets" if version.startswith("3") else "datasets"
    assert airflow.lines().count(f"GET /{kind}") == 4, "one for each hop, however many DAGs are there"
    assert len(airflow.sent) <= 18


@every_version
async def test_dags_that_are_triggered_are_followed_too(version: str) -> None:
    triggers = {"etl": "mid", "mid": "last"}
    tasks = (task("go", operator="TriggerDagRunOperator"),)
    airflow = airflow_of(version, {"s3://out": ("last", ["report"])}, *tasks, triggers=triggers)
    airflow.on("GET", "/dags/report/tasks", page("tasks", [task("print")]))
    assert (await overview(airflow))["downstream"] == [
        {"dag": "mid", "by_task": "go"},
        {"from": "mid", "dag": "last", "by_task": "go"},
        {"from": "last", "asset": "s3://out", "starts": ["report"]},
    ]


@every_version
async def test_a_circle_ends_where_it_began(version: str) -> None:
    edges: Edges = {"s3://a": ("etl", ["b"]), "s3://b": ("b", ["etl", "b"])}
    answer = await overview(airflow_of(version, edges))
    assert answer["downstream"][-1] == {"from": "b", "asset": "s3://b", "starts": ["etl"]}
    assert answer["not_seen"] == [SENSORS]


@every_version
async def test_a_long_chain_and_a_wide_one_are_bounded_and_the_rest_is_told(version: str) -> None:
    chain: Edges = {f"s3://{n}": (f"d{n}" if n else "etl", [f"d{n + 1}"]) for n in range(12)}
    airflow = airflow_of(version, chain)
    answer = await overview(airflow, max_chars=20_000)
    assert [link.get("from") for link in answer["downstream"]] == [None, "d1", "d2", "d3", "d4"]
    assert "Downstream of d5: not followed any further." in answer["not_seen"]
    assert len(airflow.sent) <= 18
    wide: Edges = {f"s3://{n}": ("etl", [f"w{n}"]) for n in range(30)} | {"s3://end": ("w7", ["end"])}
    airflow = airflow_of(version, wide)
    answer = await overview(airflow, max_chars=20_000)
    assert answer["downstream"][-1] == {"from": "w7", "asset": "s3://end", "starts": ["end"]}
    (left,) = [line for line in answer["not_seen"] if "trigger: not looked at" in line]
    assert "and 1" in left or "and 2" in left, "how many they are"
    assert len(airflow.sent) <= 18


@every_version
async def test_what_policy_hides_is_neither_named_nor_followed(version: str) -> None:
    edges: Edges = {
        "s3://a": ("etl", ["b", "payroll_a"]),
        "s3://b": ("b", ["payroll_b"]),
        "s3://p": ("payroll_a", ["c"]),
    }
    airflow = airflow_of(version, edges)
    async with connected(airflow, {"deny": [NO_PAYROLL]}) as someone:
        answer = await someone.ask("get_dag_overview", dag_id="etl")
    assert answer["downstream"] == [{"asset": "s3://a", "starts": ["b"]}, {"from": "b", "asset": "s3://b"}]
    assert "payroll" not in json.dumps(answer)
    assert not [sent for sent in airflow.sent if "payroll" in sent.path or "payroll" in str(sent.query)]


@every_version
async def test_what_could_not_be_read_on_the_way_is_told(version: str) -> None:
    airflow = airflow_of(version, {"s3://a": ("etl", ["b"])}, triggers={"b": "c"})
    airflow.on("GET", "/dags/b/dagRuns", page("dag_runs", []))
    assert "Which DAG b.go triggers: no run tells yet." in (await overview(airflow))["not_seen"]
    refused: Any = Reply(403, {"detail": "Forbidden", "title": "Forbidden"})
    airflow.on("GET", "/dags/b/tasks", refused)
    assert any(line.startswith("Tasks of b: ") for line in (await overview(airflow))["not_seen"])


async def test_where_datasets_cannot_be_filtered_the_first_ones_are_followed_without_more_requests() -> None:
    edges: Edges = {"s3://a": ("etl", ["b"]), "s3://b": ("b", ["c"])}
    airflow = airflow_of("2.8.4", edges)
    answer = await overview(airflow)
    assert answer["downstream"][-1] == {"from": "b", "asset": "s3://b", "starts": ["c"]}
    assert airflow.lines().count("GET /datasets") == 1
