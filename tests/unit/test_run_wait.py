"""Waiting for a run: it ends with the run, says at once when nothing will happen, and stops when the caller does."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.unit.assistant import ERAS, GENERATIONS, Assistant, assistant, calls_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent, line_of_run
from tests.unit.samples import dag, dag_run, page, task_instance

pytestmark = pytest.mark.anyio
IDS = {"dag_id": "etl", "dag_run_id": "r"}
RUN = "/dags/etl/dagRuns/r"
TASKS = f"{RUN}/taskInstances"


def running(version: str, *states: str, is_paused: bool = False, tasks: Any = None) -> FakeAirflow:
    """An Airflow whose run is in these states, one after another."""
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag(is_paused=is_paused))
    airflow.on("GET", RUN, *(dag_run("r", state) for state in states))
    some = [task_instance("load", "success"), task_instance("check", "failed"), task_instance("send", None)]
    return airflow.on("GET", TASKS, tasks or page("task_instances", some))


def methods(airflow: FakeAirflow) -> set[str]:
    return {sent.method for sent in airflow.sent}


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("state", ["success", "failed"])
async def test_a_run_that_has_ended_is_answered_at_once(version: str, state: str) -> None:
    airflow = running(version, state)
    async with assistant(airflow) as someone:
        answer = await someone.ask("wait_for_dag_run", **IDS)
    assert answer == {
        **IDS,
        "state": state,
        "finished": True,
        "tasks": {"failed": 1, "none": 1, "success": 1},
        "failed_tasks": ["check"],
    }
    assert airflow.lines() == [line_of_run(version, RUN), f"GET {TASKS}"]


@pytest.mark.parametrize("mode", ERAS)
async def test_waiting_goes_on_until_the_run_ends_and_tells_how_far_it_is(mode: str) -> None:
    airflow = running("3.3.2", "running", "success")
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with assistant(airflow, mode=mode) as someone:
        result = await someone.client.call_tool(
            "wait_for_dag_run", IDS | {"timeout_seconds": 20}, progress_callback=progress
        )
    assert result.structured_content is not None
    assert result.structured_content["finished"] is True
    counts = "1 failed, 1 none, 1 success"
    assert told == [(2, 3, f"{state}: {counts}") for state in ("running", "success")]
    assert airflow.lines().count(line_of_run("3.3.2", RUN)) == 2
    assert methods(airflow) == {"GET"}


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_paused_dag_is_said_to_be_paused_after_one_look(version: str) -> None:
    airflow = running(version, "queued", is_paused=True)
    async with assistant(airflow) as someone:
        answer = await someone.ask("wait_for_dag_run", **IDS, timeout_seconds=20)
    assert answer["finished"] is False
    assert answer["state"] == "queued"
    assert "paused" in answer["hint"]
    assert calls_of(answer) == [("unpause_dag", {"dag_id": "etl"}), ("wait_for_dag_run", IDS)]
    assert airflow.lines().count(line_of_run(version, RUN)) == 1


async def test_the_end_of_a_run_of_a_paused_dag_is_the_end() -> None:
    async with assistant(running("3.3.2", "failed", is_paused=True)) as someone:
        answer = await someone.ask("wait_for_dag_run", **IDS)
    assert answer["finished"] is True
    assert "hint" not in answer


async def test_out_of_time_says_that_the_run_goes_on() -> None:
    async with assistant(running("3.3.2", "running")) as someone:
        answer = await someone.ask("wait_for_dag_run", **IDS, timeout_seconds=1)
    assert answer["finished"] is False
    assert answer["state"] == "running"
    assert "after 1 seconds" in answer["hint"]
    assert "goes on" in answer["hint"]


async def test_an_airflow_that_says_nothing_is_an_error_that_names_the_setting() -> None:
    airflow = running("3.3.2", "running").on("GET", RUN, lambda _: anyio.sleep_forever())
    async with assistant(airflow, timeout=0.05) as someone:
        sentence = await someone.refused("wait_for_dag_run", **IDS, timeout_seconds=1)
    assert "gave no answer within 0.05 seconds (AIRFLOW_MCP_TIMEOUT)" in sentence


@pytest.mark.parametrize("version", GENERATIONS)
async def test_more_tasks_than_a_page_holds_are_counted_state_by_state(version: str) -> None:
    states = {"success": 150, "failed": 42, "none": 7, "running": 1}

    def pages(sent: Sent) -> Any:
        asked = [value for name, value in sent.query if name == "state"]
        limit = int(dict(sent.query)["limit"])
        wanted = [state for state in states if not asked or state in asked]
        rows = [
            task_instance(f"t_{state}", None if state == "none" else state, map_index=number)
            for state in wanted
            for number in range(states[state])
        ]
        return page("task_instances", rows[:limit], len(rows))

    async with assistant(running(version, "failed", tasks=pages)) as someone:
        answer = await someone.ask("wait_for_dag_run", **IDS)
    assert answer["tasks"] == states
    assert sum(answer["tasks"].values()) == 200
    assert answer["failed_tasks"] == [f"t_failed[{number}]" for number in range(10)]


async def test_a_mapped_failure_is_named_with_its_index() -> None:
    tasks = page("task_instances", [task_instance("load", map_index=3), task_instance("check")])
    async with assistant(running("3.3.2", "failed", tasks=tasks)) as someone:
        assert (await someone.ask("wait_for_dag_run", **IDS))["failed_tasks"] == ["load[3]", "check"]


async def test_a_run_without_any_task_yet_has_no_counts() -> None:
    told: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    airflow = running("3.3.2", "queued", is_paused=True, tasks=page("task_instances", []))
    async with assistant(airflow) as someone:
        result = await someone.client.call_tool(
            "wait_for_dag_run", IDS | {"timeout_seconds": 20}, progress_callback=progress
        )
    assert not result.is_error
    assert told == ["queued: no task yet"]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_caller_who_goes_away_ends_the_polling(mode: str) -> None:
    looked, ended = anyio.Event(), anyio.Event()

    async def look(sent: Sent) -> Reply:
        looked.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError("the caller went away")

    airflow = running("3.3.2", "running").on("GET", RUN, dag_run("r", "running"), look)

    async def wait(someone: Assistant, scope: anyio.CancelScope) -> None:
        with scope:
            await someone.ask("wait_for_dag_run", **IDS)

    async with assistant(airflow, mode=mode) as someone:
        async with anyio.create_task_group() as group:
            scope = anyio.CancelScope()
            group.start_soon(wait, someone, scope)
            with anyio.fail_after(60):  # only so that a failure ends
                await looked.wait()
                scope.cancel()
                await ended.wait()
        sent = len(airflow.sent)
        airflow.on("GET", RUN, dag_run("r", "success"))
        assert (await someone.ask("get_dag_run", **IDS))["state"] == "success"
    assert len(airflow.sent) == sent + 1
    assert airflow.lines()[-2:] == [line_of_run("3.3.2", RUN)] * 2
