"""A plan does what its preview showed: once, soon, for the same caller, Airflow, tool, arguments and targets."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import anyio
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.safety.plan_tokens import PLAN_SECONDS, InMemoryPlanStore, PlanBinding, PlanTokens
from airflow_mcp.errors import NotAllowedError, SettingsError
from tests.permissions.support import (
    ADMIN,
    CHANGING,
    Json,
    changes,
    changing,
    connected,
    open_instances,
    patient,
    whole_call,
)
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS, table

pytestmark = pytest.mark.anyio
POLICY: Json = {"allow": [{"tools": ADMIN, "confirm": "plan"}]}
CLEAR: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "dry_run": False}
BOUND = PlanBinding.create("delete_pool", {"pool_name": "small"}, ("pool_name=small",), "local", "default", "3.3")
KEY = "k" * 32


def plan_of_age(seconds: int, key: str = KEY) -> str:
    """A plan as `Plans(InMemoryPlanStore(), (key,))` would have given it so long ago."""

    class OldSigner(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - seconds

    made = PlanTokens(InMemoryPlanStore(), (key,)).seal(BOUND)[1]
    serializer = URLSafeTimedSerializer(key, salt="airflow-mcp plan", signer=OldSigner)
    return str(serializer.dumps(URLSafeTimedSerializer(key, salt="airflow-mcp plan").loads(made)))


class Remembering(InMemoryPlanStore):
    """Tells for how long a used plan is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[int] = []

    async def claim(self, plan_id: str, seconds: int) -> bool:
        self.seconds.append(seconds)
        return await super().claim(plan_id, seconds)


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_every_changing_tool_previews_first_and_then_does_it_once(version: str, mode: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY, mode=mode) as someone:
        for tool in changing(version):
            world.airflow.seen.clear()
            arguments = whole_call(tool)
            answer = await someone.ask(tool.name, **arguments)
            assert answer.keys() - {"next"} == {"preview", "plan", "hint"}
            assert changes(world.airflow) == [], f"the preview of {tool.name} changed something"
            done = await someone.ask(tool.name, **arguments, plan=answer["plan"])
            assert "plan" not in done
            (sent,) = changes(world.airflow)
            assert "plan" not in str(sent)
            assert "once" in await someone.refused(tool.name, **arguments, plan=answer["plan"])
            assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("tool", ["delete_dag", "delete_dag_run", "delete_pool"])
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_deletion_shows_what_is_lost_on_the_first_call(version: str, tool: str) -> None:
    world = World(version)
    async with connected(world.airflow, allow=(tool,)) as someone:
        answer = await someone.ask(tool, **whole_call(next(one for one in CHANGING if one.name == tool)))
    assert answer["preview"]["lost"]
    assert answer["preview"]["affected"] >= 1
    assert changes(world.airflow) == []


async def test_a_new_state_is_shown_with_every_task_instance_that_it_reaches_and_bound_to_them() -> None:
    world = World()
    world.affected = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "after", "map_index": 2}]
    ids: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "load", "new_state": "failed"}
    policy: Json = {"default": "none", "allow": [{"tools": ["set_task_instance_state"], "confirm": "plan"}]}
    async with connected(world.airflow, policy) as someone:
        shown = await someone.ask("set_task_instance_state", **ids, include_downstream=True)
        assert shown["preview"]["affected"] == 2
        rows = table(shown["preview"])
        assert [(row["task_id"], row.get("map_index")) for row in rows] == [("load", None), ("after", 2)]
        assert world.airflow.last("PATCH").body == {"new_state": "failed", "include_downstream": True}
        world.affected.append({"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "later", "map_index": -1})
        again = {**ids, "include_downstream": True, "plan": shown["plan"]}
        assert "other targets" in await someone.refused("set_task_instance_state", **again)
    assert changes(world.airflow) == []


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_preview_names_the_state_that_would_be_set_and_not_the_one_there_is(version: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY) as someone:
        shown = await someone.ask("set_dag_run_state", dag_id="etl_a", dag_run_id="r1", state="failed")
    assert "state=failed" in shown["preview"]["targets"]
    assert "state=success" not in shown["preview"]["targets"]
    assert shown["preview"]["state"] == "success", "what the run is now is shown beside it"


OTHERS: list[tuple[str, Json, str]] = [
    ("clear_task_instances", {"dag_id": "etl_b"}, "other arguments"),
    ("clear_task_instances", {"task_ids": ["load"]}, "other arguments"),
    ("clear_task_instances", {"only_failed": False}, "other arguments"),
    ("clear_task_instances", {"include_downstream": True}, "other arguments"),
    ("clear_task_instances", {"only_failed": True}, "other arguments"),
    ("clear_dag_run", {}, "is for clear_task_instances"),
]


@pytest.mark.parametrize(("tool", "others", "words"), OTHERS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_plan_for_something_else_does_nothing_and_stays_good(
    version: str, tool: str, others: Json, words: str
) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY) as someone:
        plan = (await someone.ask("clear_task_instances", **CLEAR))["plan"]
        assert words in await someone.refused(tool, **{**CLEAR, **others}, plan=plan)
        assert changes(world.airflow) == []
        await someone.ask("clear_task_instances", **CLEAR, plan=plan)
    assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("version", GENERATIONS)
async def test_targets_that_changed_since_the_preview_are_not_touched(version: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY) as someone:
        clear = (await someone.ask("clear_task_instances", **CLEAR))["plan"]
        delete = (await someone.ask("delete_dag", dag_id="etl_b"))["plan"]
        world.affected = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "late", "map_index": -1}]
        world.runs["etl_b"] = ["r1", "r2"]
        assert "other targets" in await someone.refused("clear_task_instances", **CLEAR, plan=clear)
        assert "other targets" in await someone.refused("delete_dag", dag_id="etl_b", plan=delete)
        assert changes(world.airflow) == []
        world.affected, world.runs["etl_b"] = [], ["r1"]
        await someone.ask("clear_task_instances", **CLEAR, plan=clear)
        await someone.ask("delete_dag", dag_id="etl_b", plan=delete)
    assert len(changes(world.airflow)) == 2


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_run_that_took_another_runs_place_is_another_target(version: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY) as someone:
        plan = (await someone.ask("delete_dag", dag_id="etl_b"))["plan"]
        world.runs["etl_b"] = ["r9"]
        assert "other targets" in await someone.refused("delete_dag", dag_id="etl_b", plan=plan)
    assert changes(world.airflow) == []


async def test_a_plan_of_another_caller_or_another_airflow_does_nothing_and_stays_good() -> None:
    near, far = World(), World()
    instances = open_instances({"near": near.airflow, "far": far.airflow}, POLICY)
    ann, bob = Caller("ann"), Caller("bob")
    here: Json = {"pool_name": "small", "instance": "near"}
    plan = (await instances.call("delete_pool", here, ann))["plan"]
    with pytest.raises(NotAllowedError, match="another caller"):
        await instances.call("delete_pool", {**here, "plan": plan}, bob)
    with pytest.raises(NotAllowedError, match="another Airflow"):
        await instances.call("delete_pool", {**here, "instance": "far", "plan": plan}, ann)
    assert changes(near.airflow) + changes(far.airflow) == []
    await instances.call("delete_pool", {**here, "plan": plan}, ann)
    assert ([sent.method for sent in changes(near.airflow)], changes(far.airflow)) == (["DELETE"], [])


async def test_a_plan_is_good_for_ten_minutes_and_no_longer() -> None:
    world = World()
    assert PLAN_SECONDS == 600
    async with connected(world.airflow, POLICY, plans=PlanTokens(InMemoryPlanStore(), (KEY,))) as someone:
        late = await someone.refused("delete_pool", pool_name="small", plan=plan_of_age(605))
        assert "older than 10 minutes" in late
        assert "one this server gave" in await someone.refused(
            "delete_pool", pool_name="small", plan=plan_of_age(0, "x" * 32)
        )
        assert changes(world.airflow) == []
        await someone.ask("delete_pool", pool_name="small", plan=plan_of_age(590))
    assert len(changes(world.airflow)) == 1


async def test_a_used_plan_is_remembered_for_longer_than_it_could_be_presented() -> None:
    world, used = World(), Remembering()
    async with connected(world.airflow, POLICY, plans=PlanTokens(used)) as someone:
        plan = (await someone.ask("delete_pool", pool_name="small"))["plan"]
        await someone.ask("delete_pool", pool_name="small", plan=plan)
    (seconds,) = used.seconds
    # A plan's age counts in whole seconds, so one of 600.9 seconds still passes.
    assert seconds > PLAN_SECONDS


def test_a_shared_key_without_a_shared_store_refuses_to_start() -> None:
    """Else a plan would be good once on every server that holds the key."""
    with pytest.raises(SettingsError, match="store of used plans"):
        PlanTokens(keys=(KEY,))


async def test_servers_that_share_key_and_store_carry_a_plan_out_once_between_them() -> None:
    world, used = World(), InMemoryPlanStore()
    done: list[bool] = []
    async with (
        connected(world.airflow, POLICY, plans=PlanTokens(used, (KEY,))) as one,
        connected(world.airflow, POLICY, plans=PlanTokens(used, (KEY,))) as other,
    ):
        plan = (await one.ask("delete_pool", pool_name="small"))["plan"]
        for someone in (other, one, other):
            result = await someone.client.call_tool("delete_pool", {"pool_name": "small", "plan": plan})
            done.append(not result.is_error)
    assert done == [True, False, False]
    assert len(changes(world.airflow)) == 1


async def test_a_plan_of_another_process_is_not_good_here() -> None:
    world, other = World(), World()
    async with connected(other.airflow, POLICY) as elsewhere:
        plan = (await elsewhere.ask("delete_pool", pool_name="small"))["plan"]
    async with connected(world.airflow, POLICY) as someone:
        assert "one this server gave" in await someone.refused("delete_pool", pool_name="small", plan=plan)
    assert changes(world.airflow) == []


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_of_plans_presented_at_once_one_is_done(generation: str) -> None:
    world = World(generation)
    results: list[Any] = []
    async with connected(world.airflow, POLICY) as someone:
        plan = (await someone.ask("clear_task_instances", **CLEAR))["plan"]

        async def present() -> None:
            results.append(await someone.client.call_tool("clear_task_instances", {**CLEAR, "plan": plan}))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(present)
    assert len(changes(world.airflow)) == 1
    assert sum(not result.is_error for result in results) == 1


@patient(120)
@given(st.floats(0, 1, exclude_max=True), st.characters(codec="utf-8"))
def test_a_plan_with_one_character_changed_is_refused(where: float, other: str) -> None:
    plans = PlanTokens(InMemoryPlanStore(), (KEY,))
    _, plan = plans.seal(BOUND)
    place = int(where * len(plan))
    assume(other != plan[place])
    with pytest.raises(NotAllowedError, match="one this server gave"):
        plans.open(plan[:place] + other + plan[place + 1 :], BOUND)


def test_a_plan_is_taken_in_no_other_characters_than_it_was_issued_in() -> None:
    """Spare bits of base64, padding and characters outside its alphabet all stand for the same bytes."""
    plans = PlanTokens()
    _, issued = plans.seal(BOUND)
    assert plans.open(issued, BOUND)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = [f"{issued[:-1]}{other}" for other in alphabet if other != issued[-1]]
    strange = [
        f"{issued}=",
        f"{issued}==",
        f"{issued}!",
        f" {issued}",
        f"{issued}\n",
        issued.replace("-", "+", 1) + "+",
    ]
    for text in (*last, *strange, issued + "\u00e9", issued[:-1], f"{issued}."):
        with pytest.raises(NotAllowedError, match="is not one this server gave"):
            plans.open(text, BOUND)


@patient(150)
@given(st.one_of(st.text(), st.text(st.characters(categories=["Cs", "Ll"]), min_size=1)))
def test_no_text_that_is_not_a_plan_is_taken_for_one_or_breaks_the_call(text: str) -> None:
    with pytest.raises(NotAllowedError, match="one this server gave"):
        PlanTokens(InMemoryPlanStore(), (KEY,)).open(text, BOUND)


async def test_a_plan_that_is_no_text_is_refused() -> None:
    world = World()
    async with connected(world.airflow, POLICY) as someone:
        for odd in (1, ["x"], {"id": 1}, True):
            await someone.refused("delete_pool", pool_name="small", plan=odd)
    assert changes(world.airflow) == []


def test_what_a_plan_holds_tells_nothing_of_the_arguments() -> None:
    bound = PlanBinding.create("trigger_dag_run", {"conf": {"password": "hunter2"}}, (), "local", "default", "3.3")
    _, plan = PlanTokens(InMemoryPlanStore(), (KEY,)).seal(bound)
    held = str(URLSafeTimedSerializer(KEY, salt="airflow-mcp plan").loads(plan))
    assert "hunter2" not in held
    assert hashlib.sha256(b'{"conf":{"password":"hunter2"}}').hexdigest() in held


async def test_a_preview_shows_the_very_object_that_is_named_though_a_read_may_leave_its_id_out() -> None:
    world = World("3.3.2")
    async with connected(world.airflow, POLICY) as someone:
        arguments = {"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "load", "xcom_key": "rows"}
        answer = await someone.ask("delete_xcom", **arguments)
    assert answer["preview"]["key"] == "rows"
    assert changes(world.airflow) == []
