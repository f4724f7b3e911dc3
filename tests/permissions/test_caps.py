"""No call touches more objects, and no caller calls more often, than the operator's smallest number says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import ElicitResult

from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.safety.rate_limits import InMemoryCallCounter, RateLimiter
from airflow_mcp.errors import NotAllowedError, SettingsError
from airflow_mcp.policy.rules import PerMinute
from tests.permissions.kinds import more_tools
from tests.permissions.support import Json, changes, connected, open_instances, patient
from tests.permissions.world import World
from tests.unit.assistant import GENERATIONS

pytestmark = pytest.mark.anyio
CLEAR: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "dry_run": False}


def world_of(version: str, count: int) -> World:
    """Where clearing reaches so many tasks."""
    world = World(version)
    task: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "map_index": -1}
    world.affected = [{**task, "task_id": f"t{number}"} for number in range(count - 1)]
    return world


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("tool", ["clear_task_instances", "clear_dag_run"])
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("confirm", ["never", "plan", "human"])
async def test_a_call_may_touch_as_many_as_the_cap_and_not_one_more(version: str, tool: str, confirm: str) -> None:
    async def yes(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"confirm": True})

    world = world_of(version, 6)
    policy: Json = {"allow": [{"tools": ["clear_*"], "confirm": confirm, "max_affected": 5}]}
    async with connected(world.airflow, policy, human=yes) as someone:
        sentence = await someone.refused(tool, **CLEAR)
        assert "would touch 6 objects; 5 are allowed" in sentence
        assert changes(world.airflow) == []
        world.affected.pop()
        if confirm != "plan":
            await someone.ask(tool, **CLEAR)
            assert len(changes(world.airflow)) == 1
        else:
            plan = (await someone.ask(tool, **CLEAR))["plan"]
            world.affected.append({"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "late", "map_index": -1})
            assert "5 are allowed" in await someone.refused(tool, **CLEAR, plan=plan)
            assert changes(world.airflow) == []


@pytest.mark.parametrize("caps", [(3, 7), (7, 3), (3, None), (None, 3)])
async def test_of_the_rules_that_match_the_smallest_cap_holds(caps: tuple[int | None, int | None]) -> None:
    world = world_of("3.3.2", 4)
    rules: list[Json] = [{"tools": ["clear_task_instances"], "confirm": "never"}, {"tools": ["@destructive"]}]
    rules[1] |= {"confirm": "never", "dags": ["etl_*"]}
    for rule, cap in zip(rules, caps, strict=True):
        rule |= {"max_affected": cap} if cap else {}
    async with connected(world.airflow, {"allow": rules}) as someone:
        assert "3 are allowed" in await someone.refused("clear_task_instances", **CLEAR)
        world.affected.pop()
        await someone.ask("clear_task_instances", **CLEAR)
    assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_deletion_counts_what_goes_with_it(version: str) -> None:
    world = World(version)
    world.runs["etl_b"] = [f"r{number}" for number in range(150)]  # more than one page
    policy: Json = {"allow": [{"tools": ["delete_*"], "confirm": "never", "max_affected": 150}]}
    async with connected(world.airflow, policy) as someone:
        assert "would touch 151 objects" in await someone.refused("delete_dag", dag_id="etl_b")
        assert changes(world.airflow) == []
        world.runs["etl_b"].pop()
        await someone.ask("delete_dag", dag_id="etl_b")
    assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("default", ["read", "none"])
async def test_a_deletion_counts_what_goes_with_it_though_the_caller_may_not_list_it(
    version: str, default: str
) -> None:
    world = World(version)
    world.runs["etl_b"] = [f"r{number}" for number in range(40)]
    policy: Json = {
        "default": default,
        "allow": [{"tools": ["delete_dag"], "confirm": "never", "max_affected": 5}],
        "deny": [{"tools": ["list_dag_runs"]}] if default == "read" else [],
    }
    async with connected(world.airflow, policy) as someone:
        await someone.refused("delete_dag", dag_id="etl_b")
    assert changes(world.airflow) == []


@pytest.mark.parametrize("confirm", ["never", "plan"])
async def test_a_change_of_a_list_counts_each_of_it_and_one_of_everything_is_refused(
    tmp_path: Path, confirm: str
) -> None:
    """Where Airflow has nothing to preview it with."""
    world = World()
    policy: Json = {"allow": [{"tools": ["clear_many"], "confirm": confirm, "max_affected": 2}]}
    async with connected(world.airflow, policy, catalog=more_tools(tmp_path / "manifests")) as someone:
        sentence = await someone.refused("clear_many", dag_ids=["etl_a", "etl_b"], pool_name="small")
        assert "would touch 3 objects; 2 are allowed" in sentence
        for everything in ({}, {"dag_ids": ["etl_a"]}, {"dag_id": "~", "pool_name": "x"}, {"dag_ids": ["a", "~"]}):
            assert "cannot be told beforehand" in await someone.refused("clear_many", **everything)
        assert world.airflow.sent == []
        await someone.client.call_tool("clear_many", {"dag_ids": ["etl_a"], "pool_name": "small"})
    assert len(changes(world.airflow)) == (confirm == "never")


@pytest.mark.parametrize("confirm", ["never", "plan"])
@pytest.mark.parametrize(
    ("version", "reach", "count"),
    [("2.11.2", {}, 1), ("3.3.2", {}, 5), ("3.3.2", {"include_downstream": True, "include_future": True}, 5)],
)
async def test_a_new_state_counts_every_task_instance_that_it_reaches(
    version: str, reach: Json, count: int, confirm: str
) -> None:
    world = world_of(version, 5)
    ids: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "load", "new_state": "failed", **reach}
    policy: Json = {"allow": [{"tools": ["set_task_instance_state"], "confirm": confirm, "max_affected": 4}]}
    async with connected(world.airflow, policy) as someone:
        if count > 4:
            assert "would touch 5 objects; 4 are allowed" in await someone.refused("set_task_instance_state", **ids)
            world.affected.pop()
        await someone.ask("set_task_instance_state", **ids)
    assert len(changes(world.airflow)) == (confirm == "never")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_state_of_a_run_counts_its_task_instances_which_follow(version: str) -> None:
    world = World(version)
    policy: Json = {"allow": [{"tools": ["set_dag_run_state"], "max_affected": 1}]}
    async with connected(world.airflow, policy) as someone:
        sentence = await someone.refused("set_dag_run_state", dag_id="etl_a", dag_run_id="r1", state="failed")
    assert "would touch 2 objects; 1 are allowed" in sentence
    assert "state" not in dict(world.airflow.sent[-1].query), "the state to set is no filter"
    assert changes(world.airflow) == []


async def test_a_plan_that_comes_too_soon_is_good_when_its_minute_has_come() -> None:
    world, clock = World(), Clock()
    rates = RateLimiter(PerMinute(destructive=1), InMemoryCallCounter(clock))
    async with connected(world.airflow, allow=("@destructive",), rates=rates) as someone:
        for pool, wait in (("small", 0), ("payroll_pool", 61)):
            plan = (await someone.ask("delete_pool", pool_name=pool))["plan"]
            if wait:
                assert "Too many" in await someone.refused("delete_pool", pool_name=pool, plan=plan)
            clock.now += wait
            await someone.ask("delete_pool", pool_name=pool, plan=plan)
    assert len(changes(world.airflow)) == 2


@pytest.mark.parametrize("cap", [0, -1, "many"])
def test_a_cap_that_is_no_number_of_objects_ends_the_start(cap: Any) -> None:
    with pytest.raises(SettingsError, match="max_affected"):
        open_instances(World().airflow, {"allow": [{"tools": ["*"], "max_affected": cap}]})


async def test_too_many_calls_a_minute_are_refused_with_when_to_come_back() -> None:
    world, clock = World(), Clock()
    limits = PerMinute(write=2, read=3)
    rates = RateLimiter(limits, InMemoryCallCounter(clock))
    instances = open_instances(world.airflow, {"allow": [{"tools": ["@write"]}]}, rates=rates)

    async def pause(caller: str) -> None:
        await instances.call("pause_dag", {"dag_id": "etl_a"}, Caller(caller))

    await pause("ann")
    clock.now += 20.5
    await pause("ann")
    sent = len(world.airflow.sent)
    with pytest.raises(NotAllowedError, match=r"Too many write calls: 2 a minute.*in 40 seconds"):
        await pause("ann")
    assert len(world.airflow.sent) == sent, "a refused call was sent"
    await pause("bob")  # another caller has calls of its own
    for _ in range(3):
        await instances.call("get_dag", {"dag_id": "etl_a"}, Caller("ann"))  # and another class too
    with pytest.raises(NotAllowedError, match="Too many read calls: 3"):
        await instances.call("list_dags", {}, Caller("ann"))
    clock.now += 39.4
    with pytest.raises(NotAllowedError, match="in 1 seconds"):
        await pause("ann")
    clock.now += 0.2
    await pause("ann")
    with pytest.raises(NotAllowedError, match=r"in 2[01] seconds"):
        await pause("ann")


async def test_the_policy_table_sets_the_rates_and_unset_classes_have_none() -> None:
    world = World()
    policy: Json = {"per_minute": {"destructive": 1}, "allow": [{"tools": ["*"], "confirm": "never"}]}
    async with connected(world.airflow, policy) as someone:
        await someone.ask("delete_pool", pool_name="small")
        assert "Too many destructive calls" in await someone.refused("delete_dag", dag_id="etl_a")
        for _ in range(40):
            await someone.ask("pause_dag", dag_id="etl_a")
    assert len(changes(world.airflow)) == 41


async def test_a_call_that_policy_refuses_does_not_use_up_a_rate() -> None:
    world = World()
    policy: Json = {"per_minute": {"write": 1}, "allow": [{"tools": ["pause_dag"], "dags": ["etl_*"]}]}
    async with connected(world.airflow, policy) as someone:
        for _ in range(3):
            assert "not allowed" in await someone.refused("pause_dag", dag_id="payroll_a")
        await someone.ask("pause_dag", dag_id="etl_a")
        assert "Too many" in await someone.refused("pause_dag", dag_id="etl_a")


@patient(120)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=40), st.integers(1, 5))
def test_no_minute_holds_more_calls_than_the_limit(pauses: list[int], limit: int) -> None:
    anyio.run(_no_minute_holds_more, pauses, limit)


async def _no_minute_holds_more(pauses: list[int], limit: int) -> None:
    clock, made = Clock(), list[float]()
    rates = RateLimiter(PerMinute(read=limit), InMemoryCallCounter(clock))
    for pause in pauses:
        clock.now += pause / 4
        try:
            await rates.take("ann", "read")
        except NotAllowedError as error:
            (wait,) = re.findall(r"in (\d+) seconds", str(error))
            assert len([one for one in made if one > clock.now - 60]) == limit, "refused too early"
            later = Clock()
            later.now = clock.now + int(wait)
            assert len([one for one in made if one > later.now - 60]) < limit, "came back as told, and too early"
        else:
            made.append(clock.now)
    for moment in made:
        assert len([one for one in made if moment - 60 < one <= moment]) <= limit
