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

from airflow_mcp.catalog.loader import Tool
from tests.permissions.support import (
    ADMIN,
    CHANGING,
    FILTERED,
    NAMING,
    NO_PAYROLL,
    REACHES_ALL,
    Json,
    addressed,
    changes,
    changing,
    connected,
    is_change,
    patient,
    stranger_call,
    talking_to,
    touches_nothing,
    whole_call,
)
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS

pytestmark = pytest.mark.anyio
# All of these policies leave these to be changed, users and roles, and nothing else.
LEFT: dict[str, tuple[str, str]] = {
    "dag": ("dags", "etl_*"),
    "pool": ("pools", "small"),
    "variable": ("variables", "limit*"),
    "connection": ("connections", "warehouse"),
}


def all_but(pattern: str) -> list[str]:
    """Patterns for every text but this one, or but those that begin with it."""
    kept = pattern.removesuffix("*")
    starts = [kept[:size] for size in range(len(kept))]
    longer = [] if pattern.endswith("*") else [f"{kept}?*"]
    return [*starts, *(f"{start}[!{kept[len(start)]}]*" for start in starts), *longer]


def allowing(**how: Any) -> list[Json]:
    """A rule for each of them."""
    rules: list[Json] = [{"tools": ["*"], key: [pattern]} for key, pattern in LEFT.values()]
    return [{**rule, **how} for rule in (*rules, {"tools": ["@admin"]})]


POLICIES: dict[str, Json] = {
    "allow some": {"allow": allowing(confirm="never")},
    "deny the rest": {
        "allow": [{"tools": ADMIN, "confirm": "never"}],
        "deny": [{"tools": ["*"], key: all_but(pattern)} for key, pattern in LEFT.values()],
    },
    "with a plan": {"default": "none", "allow": allowing(confirm="plan", max_affected=500)},
    "with a human": {"allow": allowing(confirm="human")},
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
names = st.one_of(
    st.sampled_from(["etl_a", "etl_b", "small", "limit", "warehouse"]), st.sampled_from(HARD), st.text(max_size=8)
)
odd = st.one_of(names, st.integers(), st.none(), st.lists(names, max_size=2), st.booleans())


def entities(key: str, **more: Any) -> st.SearchStrategy[list[Any]]:
    """What a bulk call is about, by this field."""
    return st.lists(
        st.fixed_dictionaries({key: names, **{name: st.just(one) for name, one in more.items()}}), max_size=2
    )


whose = st.fixed_dictionaries({"dag_run_id": st.just("r1"), "task_id": st.just("load")}, optional={"dag_id": names})


def without_task(entity: Json) -> Json:
    """A run, not a task instance."""
    return {name: value for name, value in entity.items() if name != "task_id"}


GIVEN = {  # by an argument's name, or by how it is described
    "dag_id": names,
    "dag_ids": st.lists(names, max_size=2),
    "pool_name": names,
    "name": names,
    "variable_key": names,
    "new_variable_key": names,
    "connection_id": names,
    "dag_run_id": names,
    "task_id": names,
    "task_ids": st.lists(names, max_size=2),
    "uri": st.sampled_from(["s3://lake/orders", "s3://lake/salaries", "s3://lake", "~", ""]),
    "asset_id": st.sampled_from([7, 8, 9]),
    "backfill_id": st.sampled_from([5, 6, 7]),
    "dag_id_pattern": st.sampled_from(["etl", "%", "payroll", "~"]),
    "dry_run": st.sampled_from([True, False, False, False]),
    "plan": st.text(max_size=5),
    "conf": st.just({"dag_id": "payroll_a"}),
    "note": names,
    "include_downstream": st.booleans(),
    "start_date": st.just("2026-01-01T00:00:00Z"),
    "new_pools": entities("pool_name", slots=1),
    "changed_pools": entities("pool_name", slots=1),
    "deleted_pools": st.lists(names, max_size=2),
    "new_variables": entities("variable_key", value="v"),
    "changed_variables": entities("variable_key", value="v"),
    "deleted_variables": st.lists(names, max_size=2),
    "new_connections": entities("connection_id", conn_type="http"),
    "changed_connections": entities("connection_id", host="h"),
    "deleted_connections": st.lists(names, max_size=2),
    "changed_runs": st.lists(whose.map(without_task), max_size=2),
    "deleted_runs": st.lists(st.one_of(whose.map(without_task), st.just("r1")), max_size=2),
    "changed_task_instances": st.lists(whose.map(lambda one: one | {"new_state": "failed"}), max_size=2),
    "deleted_task_instances": st.lists(st.one_of(whose, st.just("load")), max_size=2),
}


@st.composite
def changing_calls(draw: st.DrawFn, tools: list[Tool] = CHANGING) -> tuple[Tool, Json]:
    """A changing tool with arguments that are mostly its own, some hard, now and then of a wrong kind or missing."""
    tool = draw(st.sampled_from(tools))
    arguments = whole_call(tool)
    described = {use.name: use.table for use in tool.entry.params}
    known = {name: GIVEN.get(how, GIVEN.get(name)) for name, how in described.items()}
    own = {name: strategy for name, strategy in known.items() if strategy is not None} | {"plan": GIVEN["plan"]}
    for name in draw(st.lists(st.sampled_from([*own]), max_size=2, unique=True)):
        arguments[name] = draw(own[name])
    if draw(st.integers(0, 9)) == 0:
        arguments[draw(st.sampled_from([*own, "dag_ids", "instance"]))] = draw(odd)
    if arguments and draw(st.integers(0, 9)) == 0:
        arguments.pop(draw(st.sampled_from(sorted(arguments))))
    return tool, arguments


def named_in(tool: Tool, arguments: Json) -> list[tuple[str, Any]]:
    """Every id that a call names, with its noun."""
    named: list[tuple[str, Any]] = []
    for noun in LEFT:
        if not getattr(tool.entry.scope, noun):
            continue
        given = [arguments[name] for name in NAMING[noun] if name in arguments]
        own = [one for value in given for one in (value if isinstance(value, list) else [value])]
        many = [one for word in ("create", "update", "delete") for one in _list(arguments.get(word))]
        texts = [one for one in many if isinstance(one, str) and noun != "dag"]
        inner = [one[name] for one in many if isinstance(one, dict) for name in NAMING[noun] if one.get(name)]
        if noun == "dag" and many and len(inner) == len(many):
            own = [one for one in own if one != "~"]
        named += [(noun, one) for one in (*own, *texts, *inner)]
    return named


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_allowed(noun: str, one: Any) -> bool:
    """What all these policies say, in Python's own words."""
    pattern = LEFT[noun][1]
    return isinstance(one, str) and (one.startswith(pattern[:-1]) if pattern.endswith("*") else one == pattern)


def is_inside(tool: Tool, arguments: Json) -> bool:
    """Whether a call names something, and only what may be changed; what only Airflow knows is looked up."""
    if touches_nothing(tool):
        return True
    if tool.name in FILTERED:
        return bool(fits := fitting(arguments)) and all(is_allowed("dag", one) for one in fits)
    if tool.entry.look_up:
        return arguments.get("uri", "s3://lake/orders") == "s3://lake/orders" and {
            arguments.get("asset_id", 7),
            arguments.get("backfill_id", 5),
        } == {7, 5}
    ids = named_in(tool, arguments)
    return tool.name not in REACHES_ALL and bool(ids) and all(is_allowed(*one) for one in ids)


def fitting(arguments: Json) -> list[str]:
    """The DAGs of the world that fit the filter of a call, as Airflow reads it."""
    part = str(arguments.get("dag_id_pattern")).strip("%")
    return [name for name in World().dags if part in name]


ACTS_BY_DEFAULT = {"set_task_instance_state", "set_task_group_state"}


def examine(world: World, tool: Tool, arguments: Json) -> None:
    """Hold every request that one call sent against what may be touched."""
    airflow = world.airflow
    asked = [one for _, one in named_in(tool, arguments)]
    asked += fitting(arguments) if tool.name in FILTERED else []
    for sent in airflow.sent:
        ids = addressed(sent)
        assert all(one in asked for ones in ids.values() for one in ones), (sent.line, arguments)
        assert all(is_allowed(noun, one) for noun, ones in ids.items() for one in ones), (sent.line, arguments)
    for sent in filter(is_change, airflow.sent):
        reached = world.reached(sent)
        assert all(is_allowed("dag", one) for one in reached), (sent.line, arguments)
        assert reached or any(addressed(sent).values()) or touches_nothing(tool), sent.line
    if not is_inside(tool, arguments):
        looks = tool.entry.look_up or tool.name in FILTERED
        reads = [sent for sent in airflow.sent if sent.method == "GET"] if looks else []
        assert airflow.sent == reads, f"{tool.name} {arguments}"
    if tool.entry.preview == "flag" and arguments.get("dry_run", tool.name not in ACTS_BY_DEFAULT):
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

        @patient(150)
        @given(changing_calls(changing(version)))
        def attack(case: tuple[Tool, Json]) -> None:
            tool, arguments = case
            world.airflow.seen.clear()
            world.airflow.sent.clear()
            with contextlib.suppress(UnicodeEncodeError):  # half a surrogate pair does not leave the client
                call_and_confirm(call, tool, arguments)
            examine(world, tool, arguments)
            done[tool.name] += len(changes(world.airflow))

        for tool in changing(version):
            attack = example((tool, whole_call(tool)))(attack)
        attack()
    assert {tool.name for tool in changing(version)} - {name for name in done if done[name]} == {
        tool.name for tool in changing(version) if tool.name in REACHES_ALL
    }


@pytest.mark.parametrize("version", GENERATIONS)
def test_nothing_that_changes_is_sent_at_all_without_a_rule(version: str) -> None:
    world = World(version)
    with talking_to(world.airflow) as call:

        @patient(80)
        @given(changing_calls(changing(version)))
        def attack(case: tuple[Tool, Json]) -> None:
            tool, arguments = case
            with contextlib.suppress(UnicodeEncodeError):
                assert call(tool.name, **arguments).is_error
            assert world.airflow.seen == []

        attack()


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("policy", POLICIES)
async def test_no_changing_tool_reaches_everything_or_a_stranger(version: str, policy: str, mode: str) -> None:
    """Of a DAG, pool, variable or connection; rules about these are not about users and roles."""
    world = World(version)
    async with connected(world.airflow, POLICIES[policy], mode=mode, human=accept) as someone:
        for tool in changing(version):
            for stranger in ("~", "payroll_a", "*") if not touches_nothing(tool) else ():
                assert "not allowed" in await someone.refused(tool.name, **stranger_call(tool, stranger))
    assert {sent.line for sent in world.airflow.sent} <= LOOKED_UP, "only whose an asset or a backfill is was read"


LOOKED_UP = {
    "GET /dags",
    "GET /assets",
    "GET /assets/8",
    "GET /datasets/s3%3A%2F%2Flake%2Fsalaries",
    "GET /backfills/6",
}


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("hard", [one for one in HARD if one not in ("~", "\ud800")])
async def test_a_hard_id_is_addressed_as_itself_or_not_at_all(version: str, hard: str) -> None:
    world = World(version, ("etl_a", "payroll_a"), pools=("small", "payroll_pool"))
    async with connected(world.airflow, {"allow": [{"tools": ADMIN, "confirm": "never"}]}) as someone:
        for tool in changing(version):
            world.airflow.sent.clear()
            arguments = whole_call(
                tool, **{name: hard for names in NAMING.values() for name in names if name[-1] != "s"}
            )
            await someone.client.call_tool(tool.name, arguments)
            asked = {one for _, one in named_in(tool, arguments)}
            sent = {one for sent in world.airflow.sent for ones in addressed(sent).values() for one in ones}
            assert sent <= asked, tool.name


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_changing_call_without_its_filter_sends_nothing(version: str) -> None:
    """Only what has no filter at all goes on: the default connections are always the same ones."""
    world = World(version)
    filters = {name for names in NAMING.values() for name in names} | {"create", "update", "delete", "dag_id_pattern"}
    filters |= {"uri", "asset_id", "backfill_id", "username", "role_name", "name"}
    async with connected(world.airflow, {"allow": [{"tools": ["*"]}], "deny": [NO_PAYROLL]}) as someone:
        for tool in changing(version):
            arguments = whole_call(tool)
            if kept := arguments.keys() & filters:
                await someone.refused(tool.name, **{name: arguments[name] for name in arguments.keys() - kept})
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
