"""A dry run shows what a call would touch and gives the plan that does it, so that a change takes two calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mcp.catalog.loader import Tool
from tests.permissions.support import ADMIN, Json, changes, changing, connected, whole_call
from tests.permissions.test_human import YES, Person
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS, calls_of, table

pytestmark = pytest.mark.anyio
POLICY: Json = {"allow": [{"tools": ADMIN, "confirm": "plan"}]}
RUN: Json = {"dag_id": "etl_a", "dag_run_id": "r1"}
CLEARS = ("clear_dag_run", "clear_task_instances")


def with_dry_run(version: str) -> list[Tool]:
    """The tools that this Airflow has and that take dry_run."""
    return [tool for tool in changing(version) if tool.entry.preview == "flag"]


def without_dry_run(tool: Tool) -> Json:
    """A whole call that says nothing about dry_run."""
    return {name: value for name, value in whole_call(tool).items() if name != "dry_run"}


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_change_takes_a_dry_run_and_its_plan_whatever_the_default_of_dry_run(version: str, mode: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY, mode=mode) as someone:
        for tool in with_dry_run(version):
            world.airflow.seen.clear()
            arguments = without_dry_run(tool)
            shown = await someone.ask(tool.name, **arguments, dry_run=True)
            assert shown["dry_run"] is True
            assert "without dry_run" in shown["hint"]
            assert changes(world.airflow) == [], f"the dry run of {tool.name} changed something"
            done = await someone.ask(tool.name, **arguments, plan=shown["plan"])
            assert done.keys().isdisjoint({"plan", "dry_run"})
            (sent,) = changes(world.airflow)
            assert "plan" not in str(sent)
            assert "once" in await someone.refused(tool.name, **arguments, plan=shown["plan"])
            assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_call_that_a_dry_run_advises_does_what_it_showed(version: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY) as someone:
        shown = await someone.ask("clear_task_instances", **RUN)
        ((name, arguments),) = calls_of(shown)
        assert (name, arguments) == ("clear_task_instances", {**RUN, "plan": shown["plan"]})
        await someone.ask(name, **arguments)
    (sent,) = changes(world.airflow)
    assert sent.body["dry_run"] is False


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dry_run_that_gives_a_plan_asks_airflow_no_more_than_one_that_does_not(version: str) -> None:
    asked: list[list[str]] = []
    for confirm in ("plan", "never"):
        world = World(version)
        async with connected(world.airflow, {"allow": [{"tools": ADMIN, "confirm": confirm}]}) as someone:
            await someone.ask("clear_task_instances", **RUN)
        asked.append([f"{sent.method} {sent.path}" for sent in world.airflow.seen])
    assert asked[0] == asked[1]
    assert sum("clearTaskInstances" in one for one in asked[0]) == 1


@pytest.mark.parametrize("tool", CLEARS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_plan_beside_a_dry_run_is_refused_and_stays_good(version: str, tool: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY) as someone:
        plan = (await someone.ask(tool, **RUN))["plan"]
        for given in (plan, "x"):
            assert "dry_run=true only shows" in await someone.refused(tool, **RUN, dry_run=True, plan=given)
        assert "not one this server gave" in await someone.refused(tool, **RUN, plan="x")
        assert changes(world.airflow) == []
        await someone.ask(tool, **RUN, dry_run=False, plan=plan, max_chars=5000)
    assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("confirm", ["plan", "never"])
async def test_a_plan_does_nothing_but_what_its_dry_run_showed(confirm: str) -> None:
    world = World()
    async with connected(world.airflow, POLICY) as someone:
        plan = (await someone.ask("clear_task_instances", **RUN))["plan"]
        other = await someone.refused("clear_task_instances", **RUN, include_downstream=True, plan=plan)
        assert "with other arguments" in other
    async with connected(world.airflow, {"allow": [{"tools": ADMIN, "confirm": confirm}]}) as someone:
        assert "not one this server gave" in await someone.refused("clear_task_instances", **RUN, plan=plan)
    assert changes(world.airflow) == []


@pytest.mark.parametrize("mode", ERAS)
async def test_where_a_person_is_asked_a_dry_run_gives_no_plan_and_the_question_comes_when_it_is_done(
    mode: str,
) -> None:
    world = World()
    person = Person(world, YES)
    policy: Json = {"allow": [{"tools": ADMIN, "confirm": "human"}]}
    async with connected(world.airflow, policy, mode=mode, human=person) as someone:
        shown = await someone.ask("clear_task_instances", **RUN)
        assert (shown["dry_run"], person.questions) == (True, [])
        assert "plan" not in shown
        ((name, arguments),) = calls_of(shown)
        assert arguments["dry_run"] is False
        await someone.ask(name, **arguments)
    assert len(person.questions) == 1
    assert len(changes(world.airflow)) == 1


async def test_where_nothing_is_asked_a_dry_run_gives_no_plan_and_one_more_call_does_it() -> None:
    world = World()
    async with connected(world.airflow, {"allow": [{"tools": ADMIN, "confirm": "never"}]}) as someone:
        shown = await someone.ask("clear_task_instances", **RUN)
        assert "plan" not in shown
        ((name, arguments),) = calls_of(shown)
        await someone.ask(name, **arguments)
    assert len(changes(world.airflow)) == 1


async def test_a_dry_run_over_the_cap_shows_what_it_found_and_gives_no_plan() -> None:
    world = World()
    world.affected = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "publish", "map_index": -1}]
    policy: Json = {"allow": [{"tools": ADMIN, "confirm": "plan", "max_affected": 1}]}
    async with connected(world.airflow, policy) as someone:
        shown = await someone.ask("clear_dag_run", **RUN)
    assert len(table(shown)) == 2
    assert "max_affected" in shown["hint"]
    assert shown.keys().isdisjoint({"plan", "next"})


async def test_a_plan_is_whole_in_the_smallest_answer() -> None:
    world = World()
    async with connected(world.airflow, POLICY) as someone:
        shown = await someone.ask("clear_dag_run", **RUN, max_chars=400)
        await someone.ask("clear_dag_run", **RUN, plan=shown["plan"])
    assert len(changes(world.airflow)) == 1


async def test_the_trail_names_the_plan_of_a_dry_run_and_its_targets(tmp_path: Path) -> None:
    world = World()
    audit = tmp_path / "audit.jsonl"
    async with connected(world.airflow, POLICY, audit=str(audit)) as someone:
        plan = (await someone.ask("clear_dag_run", **RUN))["plan"]
        await someone.ask("clear_dag_run", **RUN, plan=plan)
    previewed, begins, ends = map(json.loads, audit.read_text().splitlines())
    assert (previewed["decision"], begins["decision"], ends["decision"]) == ("previewed", "allowed", "allowed")
    assert previewed["plan"] == begins["plan"] == ends["plan"] != ""
    assert previewed["targets"] == begins["targets"]
