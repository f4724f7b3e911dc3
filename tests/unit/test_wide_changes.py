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
