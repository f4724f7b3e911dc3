"""What an answer asks of a large Airflow: how many requests, and how many at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.large.played_back import DAGS, FAILED, HUGE, HUGE_RUN, MAPPED, LargeAirflow
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


@pytest.mark.parametrize("run", [(HUGE, HUGE_RUN), (DAGS[7], "r")])
async def test_a_diagnosis_takes_12_requests_whatever_the_size_of_the_run(version: str, run: tuple[str, str]) -> None:
    airflow = LargeAirflow(version)
    answer = await ask(airflow, "diagnose_dag_run", dag_id=run[0], dag_run_id=run[1])
    assert answer["errors"]
    assert len(airflow.sent) <= 12 + (3 - 1 if run[0] == HUGE else 0)  # it has three distinct errors
    assert airflow.most_at_once <= 4


@pytest.mark.parametrize("named", [{}, {"dag_run_id": HUGE_RUN}, {"dag_run_id": HUGE_RUN, "task_id": "fan"}])
async def test_what_keeps_a_run_of_50_000_takes_8_requests(version: str, named: Json) -> None:
    airflow = LargeAirflow(version)
    answer = await ask(airflow, "why_not_running", dag_id=HUGE, **named)
    assert answer["cause"]
    assert MAPPED == 50_000
    assert len(airflow.sent) <= 8


async def test_near_names_of_a_misspelt_dag_take_three_requests_more(version: str) -> None:
    airflow = LargeAirflow(version)
    async with assistant(airflow) as someone:
        await someone.refused("get_dag", dag_id=f"{DAGS[7]}x")
    assert len(airflow.sent) <= 1 + 3


async def test_dags_by_a_part_of_their_name_take_one_request(version: str) -> None:
    airflow = LargeAirflow(version)
    answer = await ask(airflow, "list_dags", dag_id_pattern="_00007")
    assert [row[0] for row in answer["rows"]] == [DAGS[7]]
    assert len(airflow.sent) == 1
