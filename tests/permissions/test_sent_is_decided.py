"""Whatever is asked, a change that leaves addresses exactly what policy allows; all else leaves nothing behind."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mcp.types import CallToolResult, ElicitResult

from airflow_mcp.catalog.load import Tool
from tests.permissions.support import (
    CHANGING,
    NO_PAYROLL,
    Json,
    addressed,
    changes,
    connected,
    patient,
    talking_to,
    whole_call,
)
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS

pytestmark = pytest.mark.anyio
# All of these leave the DAGs etl_* and the pool "small" to be changed, and nothing else.
POLICIES: dict[str, Json] = {
    "allow some": {
        "allow": [
            {"tools": ["*"], "dags": ["etl_*"], "confirm": "never"},
            {"tools": ["pools"], "pools": ["small"], "confirm": "never"},
        ]
    },
    "deny the rest": {
        "allow": [{"tools": ["*"], "confirm": "never"}],
        "deny": [
            {"tools": ["*"], "dags": ["[!e]*", "e[!t]*", "et[!l]*", "etl[!_]*", "e", "et", "etl", ""]},
            {"tools": ["*"], "pools": ["[!s]*", "small?*", "s[!m]*", "sm[!a]*", "sma[!l]*", "smal[!l]*"]},
            {"tools": ["*"], "pools": ["s", "sm", "sma", "smal", ""]},
        ],
    },
    "with a plan": {
        "default": "none",
        "allow": [
            {"tools": ["@write", "@destructive", "@read"], "dags": ["etl_*"], "confirm": "plan", "max_affected": 500},
            {"tools": ["*_pool", "list_pools"], "pools": ["small"], "confirm": "plan"},
        ],
    },
    "with a human": {
        "allow": [
            {"tools": ["*"], "dags": ["etl_*"], "confirm": "human"},
            {"tools": ["*"], "pools": ["small"], "confirm": "human"},
        ]
    },
}
HARD = [
    "~",
    "payroll_a",
    "etl_a/../payroll_a",
    "etl_a%2F..%2Fpayroll_a",
    "etl_*",
    "etl_a\n",
    " etl_a",
    "ETL_A",
    "payroll_a?etl_a",
    "etl_a?x=1",
    "etl_a#x",
    "etl_a%3Fx",
    "etl_a;payroll_a",
    "..",
    "",
    "small/../payroll_pool",
    "payroll_pool",
    "small ",
    "\ud800",
]
names = st.one_of(st.sampled_from(["etl_a", "etl_b", "small"]), st.sampled_from(HARD), st.text(max_size=8))
odd = st.one_of(names, st.integers(), st.none(), st.lists(names, max_size=2), st.booleans())
GIVEN = {
    "dag_id": names,
    "dag_ids": st.lists(names, max_size=2),
    "pool_name": names,
    "name": names,
    "dag_run_id": names,
    "task_id": names,
    "task_ids": st.lists(names, max_size=2),
    "dry_run": st.sampled_from([True, False, False, False]),
    "plan": st.text(max_size=5),
    "conf": st.just({"dag_id": "payroll_a"}),
    "note": names,
    "include_downstream": st.booleans(),
    "start_date": st.just("2026-01-01T00:00:00Z"),
}


@st.composite
def changing_calls(draw: st.DrawFn) -> tuple[Tool, Json]:
    """A changing tool with arguments that are mostly its own, some hard, now and then of a wrong kind or missing."""
    tool = draw(st.sampled_from(CHANGING))
    arguments = whole_call(tool)
    own = [use.name for use in tool.entry.params if use.name in GIVEN]
    for name in draw(st.lists(st.sampled_from([*own, "plan"]), max_size=2, unique=True)):
        arguments[name] = draw(GIVEN[name])
    if draw(st.integers(0, 9)) == 0:
        arguments[draw(st.sampled_from([*own, "dag_ids", "instance"]))] = draw(odd)
    if arguments and draw(st.integers(0, 9)) == 0:
        arguments.pop(draw(st.sampled_from(sorted(arguments))))
    return tool, arguments


def named_in(arguments: Json) -> list[Any]:
    """Every id that a call names as a DAG or a pool."""
    given = [arguments[name] for name in ("dag_id", "dag_ids", "pool_name", "name") if name in arguments]
    return [one for value in given for one in (value if isinstance(value, list) else [value])]


def is_allowed(noun: str, one: Any) -> bool:
    """What all these policies say, in Python's own words."""
    return isinstance(one, str) and (one.startswith("etl_") if noun == "dag" else one == "small")


def is_inside(tool: Tool, arguments: Json) -> bool:
    """Whether a call names a DAG or pool, and only what may be changed."""
    noun = "dag" if tool.entry.scope.dag else "pool"
    ids = named_in(arguments)
    return bool(ids) and all(is_allowed(noun, one) for one in ids)


def examine(world: World, tool: Tool, arguments: Json) -> None:
    """Hold every request that one call sent against what may be touched."""
    airflow = world.airflow
    asked = named_in(arguments)
    for sent in airflow.sent:
        ids = addressed(sent)
        assert all(one in asked for ones in ids.values() for one in ones), (sent.line, arguments)
        assert all(is_allowed(noun, one) for noun, ones in ids.items() for one in ones), (sent.line, arguments)
        assert sent.method == "GET" or ids["dag"] or ids["pool"], sent.line
    if not is_inside(tool, arguments):
        assert airflow.sent == [], f"{tool.name} {arguments}"
    if arguments.get("dry_run", True) and tool.entry.preview == "flag":
        assert changes(airflow) == []


def call_and_confirm(call: Callable[..., CallToolResult], tool: Tool, arguments: Json) -> None:
    """One call, and where it answers a plan, the call with that plan."""
    result = call(tool.name, **arguments)
    answer = result.structured_content or {}
    if "plan" in answer:
        call(tool.name, **{**arguments, "plan": answer["plan"]})


async def accept(context: Any, params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"confirm": True})


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_change_addresses_only_what_policy_allows(version: str, policy: str) -> None:
    world, done = World(version), Counter[str]()
    with talking_to(world.airflow, POLICIES[policy], human=accept) as call:

        @patient(120)
        @given(changing_calls())
        def attack(case: tuple[Tool, Json]) -> None:
            tool, arguments = case
            world.airflow.seen.clear()
            world.airflow.sent.clear()
            with contextlib.suppress(UnicodeEncodeError):  # half a surrogate pair does not leave the client
                call_and_confirm(call, tool, arguments)
            examine(world, tool, arguments)
            done[tool.name] += len(changes(world.airflow))

        for tool in CHANGING:
            attack = example((tool, whole_call(tool)))(attack)
        attack()
    assert min(done[tool.name] for tool in CHANGING) > 0, done


@pytest.mark.parametrize("version", GENERATIONS)
def test_nothing_that_changes_is_sent_at_all_without_a_rule(version: str) -> None:
    world = World(version)
    with talking_to(world.airflow) as call:

        @patient(80)
        @given(changing_calls())
        def attack(case: tuple[Tool, Json]) -> None:
            tool, arguments = case
            with contextlib.suppress(UnicodeEncodeError):
                assert call(tool.name, **arguments).is_error
            assert world.airflow.seen == []

        attack()


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("policy", POLICIES)
async def test_no_changing_tool_reaches_every_dag_or_a_stranger(version: str, policy: str, mode: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICIES[policy], mode=mode, human=accept) as someone:
        for tool in CHANGING:
            for stranger in ("~", "payroll_a", "payroll_pool", "*"):
                arguments = whole_call(tool, dag_id=stranger, pool_name=stranger, name=stranger)
                assert "not allowed" in await someone.refused(tool.name, **arguments)
    assert world.airflow.seen == []


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("hard", [one for one in HARD if one not in ("~", "\ud800")])
async def test_a_hard_id_is_addressed_as_itself_or_not_at_all(version: str, hard: str) -> None:
    world = World(version, ("etl_a", "payroll_a"), pools=("small", "payroll_pool"))
    async with connected(world.airflow, {"allow": [{"tools": ["*"], "confirm": "never"}]}) as someone:
        for tool in CHANGING:
            arguments = whole_call(tool, dag_id=hard, pool_name=hard, name=hard)
            await someone.client.call_tool(tool.name, arguments)
    assert {one for sent in world.airflow.sent for ones in addressed(sent).values() for one in ones} <= {hard}


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_changing_call_without_its_filter_sends_nothing(version: str) -> None:
    world = World(version)
    async with connected(world.airflow, {"allow": [{"tools": ["*"]}], "deny": [NO_PAYROLL]}) as someone:
        for tool in CHANGING:
            arguments = whole_call(tool)
            for name in ("dag_id", "dag_ids", "pool_name", "name"):
                arguments.pop(name, None)
            await someone.refused(tool.name, **arguments)
    assert world.airflow.seen == []


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("tool", ["clear_task_instances", "clear_dag_run"])
@pytest.mark.parametrize("confirm", ["never", "plan", "human"])
@pytest.mark.parametrize("rules", [{"deny": [NO_PAYROLL]}, {"dags": ["etl_*"]}], ids=["denied", "not allowed"])
async def test_clearing_that_reaches_into_another_dag_is_refused_though_its_own_dag_is_allowed(
    version: str, tool: str, confirm: str, rules: Json
) -> None:
    """Airflow follows an ExternalTaskMarker from one DAG's tasks into another's."""
    world = World(version)
    world.affected = [{"dag_id": "payroll_a", "dag_run_id": "r1", "task_id": "pay", "map_index": -1}]
    only = {"dags": rules["dags"]} if "dags" in rules else {}
    policy: Json = {"allow": [{"tools": ["*"], "confirm": confirm, **only}], "deny": rules.get("deny", [])}
    async with connected(world.airflow, policy, human=accept) as someone:
        arguments = {"dag_id": "etl_a", "dag_run_id": "r1", "dry_run": False}
        assert "not allowed" in await someone.refused(tool, **arguments)
    assert changes(world.airflow) == []


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("tool", ["clear_task_instances", "clear_dag_run"])
async def test_a_dry_run_does_not_show_what_it_would_touch_in_a_denied_dag(version: str, tool: str) -> None:
    world = World(version)
    world.affected = [{"dag_id": "payroll_a", "dag_run_id": "r1", "task_id": "pay", "map_index": -1}]
    policy: Json = {"allow": [{"tools": ["*"], "confirm": "never"}], "deny": [NO_PAYROLL]}
    async with connected(world.airflow, policy) as someone:
        result = await someone.client.call_tool(tool, {"dag_id": "etl_a", "dag_run_id": "r1"})
    assert "payroll_a" not in str(result.structured_content)
    assert changes(world.airflow) == []


@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_rules_for_what_a_preview_found_say_how_it_is_confirmed(version: str) -> None:
    """All that "~" reaches turns out to be of DAGs that a stricter rule is about."""
    world = World(version, dags=("prod_a", "prod_b"))
    policy: Json = {
        "allow": [
            {"tools": ["clear_task_instances"], "confirm": "plan"},
            {"tools": ["clear_task_instances"], "dags": ["prod_*"], "confirm": "human", "max_affected": 1},
        ]
    }
    async with connected(world.airflow, policy, human=accept) as someone:
        sentence = await someone.refused("clear_task_instances", dag_id="~", dag_run_id="r1", dry_run=False)
    assert "max_affected" in sentence
    assert changes(world.airflow) == []
