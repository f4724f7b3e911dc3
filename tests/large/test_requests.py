"""What an answer asks of a large Airflow: how many requests, and how many at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.large.played_back import CAUSES, DAGS, FAILED, HUGE, HUGE_RUN, MAPPED, LargeAirflow
from tests.unit.assistant import GENERATIONS, assistant

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("version", GENERATIONS)]
Json = dict[str, Any]


async def ask(airflow: LargeAirflow, tool: str, **arguments: Any) -> Json:
    async with assistant(airflow) as someone:
        return await someone.ask(tool, **arguments)


async def test_a_report_takes_25_requests_four_at_once_and_the_event_log_once(version: str) -> None:
    airflow = LargeAirflow(version)
    report = await ask(airflow, "health_report")
    assert f"{FAILED} failed runs" in str(report["attention"])
    assert report["failures"]["causes"]
    assert len(airflow.sent) <= 25
    assert 2 <= airflow.most_at_once <= 4
    assert airflow.lines().count("GET /eventLogs") <= 1


async def test_a_diagnosis_takes_12_requests(version: str) -> None:
    airflow = LargeAirflow(version)
    answer = await ask(airflow, "diagnose_dag_run", dag_id=DAGS[7], dag_run_id="r")
    assert len(answer["errors"]) == 1
    assert len(airflow.sent) <= 12
    assert airflow.most_at_once <= 4


async def test_a_diagnosis_of_50_000_mapped_tasks_takes_one_request_more_a_cause_and_eight_to_be_sure(
    version: str,
) -> None:
    airflow = LargeAirflow(version)
    answer = await ask(airflow, "diagnose_dag_run", dag_id=HUGE, dag_run_id=HUGE_RUN)
    assert {error["error"] for error in answer["errors"]} == {*CAUSES[:3]}
    assert len(airflow.sent) <= 12 + 3 + 8
    assert airflow.most_at_once <= 4


@pytest.mark.parametrize("named", [{}, {"dag_run_id": HUGE_RUN}, {"dag_run_id": HUGE_RUN, "task_id": "fan"}])
async def test_what_keeps_a_run_of_50_000_takes_8_requests(version: str, named: Json) -> None:
    airflow = LargeAirflow(version)
    answer = await ask(airflow, "why_not_running", dag_id=HUGE, **named)
    assert answer["cause"]
    assert MAPPED == 50_000
    assert not [line for line in airflow.lines() if line.endswith("/dependencies")]  # they would read the whole run
    assert "task dependencies: not read" in str(answer["not_seen"])
    assert len(airflow.sent) <= 8


@pytest.mark.parametrize("mistake", ["team07.export_00007x", "team07.exprt_00007", "taem07.export_00007"])
async def test_near_names_of_a_misspelt_dag_take_three_requests_more(version: str, mistake: str) -> None:
    airflow = LargeAirflow(version)
    async with assistant(airflow) as someone:
        assert DAGS[7] in await someone.refused("get_dag", dag_id=mistake)
    assert len(airflow.sent) <= 1 + 3


async def test_dags_by_a_part_of_their_name_take_one_request(version: str) -> None:
    airflow = LargeAirflow(version)
    answer = await ask(airflow, "list_dags", dag_id_pattern="_00007")
    assert [row[0] for row in answer["rows"]] == [DAGS[7]]
    assert len(airflow.sent) == 1
