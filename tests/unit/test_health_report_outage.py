"""One outage of Airflow is one row of a report, however many DAGs it failed and whatever ids its words hold."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.assistant import GENERATIONS
from tests.unit.samples import page
from tests.unit.test_health_report import World, back, failed

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
DAGS = ("orders", "invoices", "train_model", "etl.v2")
# The scheduler's sentence about a task that its executor gives up (scheduler_job_runner.py of both generations).
WORDS = {
    "2.11.2": (
        "Executor CeleryExecutor(parallelism=16) reported that the task instance <TaskInstance: {dag_id}.load r "
        "[{state}]> finished with state failed, but the task instance's state attribute is {state}. "
        "Learn more: https://airflow.apache.org/docs/apache-airflow/stable/troubleshooting.html#task-state-changed"
    ),
    "3.3.2": (
        "Executor LocalExecutor(parallelism=8) reported that the task instance <TaskInstance: {dag_id}.load r "
        "[{state}]> finished with state failed, but the task instance's state attribute is {state}. "
        "Learn more: https://airflow.apache.org/docs/apache-airflow/stable/troubleshooting.html#task-state-changed"
    ),
}


def broken(version: str, states: dict[str, str]) -> World:
    """An Airflow in which the executor gave up a task of each of these DAGs, in these states."""
    world = World(version).fails(*(failed(dag_id) for dag_id in states))
    events = [
        {
            "event_log_id": number,
            "when": back(minutes=1),
            "event": "state mismatch",
            "dag_id": dag_id,
            "run_id": "r",
            "dag_run_id": "r",
            "task_id": "load",
            "map_index": -1,
            "try_number": 1,
            "owner": "airflow",
            "extra": WORDS[version].format(dag_id=dag_id, state=state),
        }
        for number, (dag_id, state) in enumerate(states.items(), start=1)
    ]
    return world.on("/eventLogs", page("event_logs", events))


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("state", ["queued", "running"])
async def test_an_outage_is_one_cause_over_all_its_dags(version: str, state: str) -> None:
    world = broken(version, dict.fromkeys(DAGS, state))
    report = await world.report()
    (cause,) = report["failures"]["causes"]
    assert f"while Airflow still had it {state}" in cause["what"]
    assert not any(dag_id in cause["what"] for dag_id in DAGS)
    assert cause["dags"] == len(DAGS)
    assert world.airflow.lines().count("GET /eventLogs") == 1
    assert len(world.airflow.sent) <= 25


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_never_started_and_what_ended_midway_are_two_causes(version: str) -> None:
    world = broken(version, dict(zip(DAGS, ("queued", "running", "queued", "running"), strict=True)))
    causes = (await world.report())["failures"]["causes"]
    assert sorted(cause["dags"] for cause in causes) == [2, 2]
