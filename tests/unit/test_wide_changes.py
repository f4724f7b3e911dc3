"""A change of many reaches exactly what its preview shows and its answer says."""

from __future__ import annotations

import pytest

from tests.unit.assistant import GENERATIONS, assistant
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.samples import dag, dag_v1, page, task_instance

pytestmark = pytest.mark.anyio
ALL = ("*",)
RUN = {"dag_id": "etl", "dag_run_id": "r"}
TASK = {**RUN, "task_id": "load", "new_state": "success"}
STATES = "/dags/etl/updateTaskInstancesState"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_pausing_many_says_how_many_there_are_and_takes_no_limit_that_airflow_3_would_ignore(
    version: str,
) -> None:
    rows = [dag(number) if version.startswith("3") else dag_v1(number) for number in range(100)]
    airflow = FakeAirflow(version).on("PATCH", "/dags", page("dags", rows, 130))
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("pause_dags", dag_id_pattern="etl")
        assert (len(answer["rows"]), answer["total"], answer["left_out"]) == (100, 130, 30)
        assert "next" not in answer
        assert "unknown argument 'limit'" in await someone.refused("pause_dags", dag_id_pattern="etl", limit=1)
    (sent,) = airflow.sent
    assert (sent.asked, sent.body) == ({"dag_id_pattern": "etl", "limit": "100"}, {"is_paused": True})


async def test_a_mapped_task_without_an_index_is_not_every_index_of_it() -> None:
    path = "/dags/etl/dagRuns/r/taskInstances"
    said = {"create": None, "update": {"success": ["a"], "errors": []}, "delete": {"success": ["b"], "errors": []}}
    airflow = FakeAirflow().on("PATCH", path, said).on("GET", f"{path}/load", task_instance())
    async with assistant(airflow, allow=ALL) as someone:
        await someone.ask("bulk_task_instances", **RUN, update=[{"task_id": "load", "note": "n"}], delete=["extract"])
    update, delete = airflow.last("PATCH").body["actions"]
    assert update["entities"] == [{"task_id": "load", "map_index": -1, "note": "n"}]
    assert update["update_mask"] == ["note"]
    assert delete["entities"] == [{"task_id": "extract", "map_index": -1}]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_state_with_what_is_downstream_may_be_a_dry_run_on_2x(*, dry_run: bool) -> None:
    rows = [{"dag_id": "etl", "dag_run_id": "r", "task_id": name} for name in ("load", "report")]
    airflow = FakeAirflow("2.11.2").on("POST", STATES, page("task_instances", rows))
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("set_task_instance_state", **TASK, include_downstream=True, dry_run=dry_run)
    assert (answer["total"], answer.get("dry_run", False), answer.get("done", False)) == (2, dry_run, not dry_run)
    assert {sent.body["dry_run"] for sent in airflow.sent if sent.path == STATES} == {dry_run}


async def test_an_update_that_names_nothing_to_change_is_refused_since_airflow_reports_it_as_done() -> None:
    airflow = FakeAirflow()
    async with assistant(airflow, allow=ALL) as someone:
        words = await someone.refused("bulk_dag_runs", dag_id="etl", update=[{"dag_run_id": "r", "dag_id": "etl"}])
    assert "must name what to change" in words
    assert "PATCH" not in {sent.method for sent in airflow.sent}


async def test_an_asset_is_found_by_its_uri_behind_a_hundred_others_that_hold_it() -> None:
    others = [{"id": number, "uri": f"s3://lake/orders/{number}"} for number in range(100)]
    wanted = {"id": 100, "name": "orders", "uri": "s3://lake/orders"}
    airflow = FakeAirflow().on("GET", "/assets", page("assets", others, 101), page("assets", [wanted], 101))
    airflow.on("GET", "/assets/100", wanted)
    async with assistant(airflow) as someone:
        assert (await someone.ask("get_asset", uri="s3://lake/orders"))["id"] == 100
    assert [sent.asked["offset"] for sent in airflow.sent if sent.path == "/assets"] == ["0", "100"]


@pytest.mark.parametrize(
    "value", ["***", "Server=db;Pwd=***", "host=db password=*** port=1", "https://***@git.example/x"]
)
async def test_a_value_with_a_mask_in_it_is_never_written_back(value: str) -> None:
    airflow = FakeAirflow()
    async with assistant(airflow, allow=ALL) as someone:
        assert "masks a secret" in await someone.refused("update_variable", variable_key="odbc", value=value)
    assert airflow.sent == []


async def test_three_stars_in_a_note_or_within_a_word_mask_nothing() -> None:
    airflow = FakeAirflow().on("PATCH", "/dags/etl/dagRuns/r", {"dag_id": "etl", "dag_run_id": "r", "note": "*** look"})
    async with assistant(airflow, allow=ALL) as someone:
        await someone.ask("set_dag_run_note", **RUN, note="*** look")
    assert airflow.last().body == {"note": "*** look"}
