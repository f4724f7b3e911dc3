"""Rules are about what a call does: a tool that is another way to it has no permission of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.errors import SettingsError
from airflow_mcp.policy.rules import parse_policy
from tests.permissions.support import CATALOG, Json, changes, connected
from tests.permissions.test_human import YES, Person
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS
from tests.unit.fake_airflow import Sent

pytestmark = pytest.mark.anyio
WAYS = [tool for tool in CATALOG.tools.values() if tool.is_vehicle]
POOL: Json = {"pool_name": "small", "slots": 3}
SINCE = "2026-11-21T00:00:00Z"


def failed(version: str = "3.3.2") -> World:
    """A world where a run of etl_a and one of payroll_a have failed."""
    world = World(version)
    for dag_id in ("etl_a", "etl_b", "payroll_a"):
        run = {"dag_id": dag_id, "dag_run_id": "r1", "run_id": "r1", "state": "failed"}
        world.airflow.on("GET", f"/dags/{dag_id}/dagRuns", {"dag_runs": [run], "total_entries": 1})
    return world


@pytest.mark.parametrize("mode", ERAS)
async def test_what_is_denied_alone_is_denied_among_many(mode: str) -> None:
    world = World()
    policy: Json = {
        "allow": [{"tools": ["@write", "@destructive", "@admin"], "confirm": "never"}],
        "deny": [{"tools": ["delete_*"]}],
    }
    async with connected(world.airflow, policy, mode=mode) as someone:
        for tool, arguments in (
            ("delete_pool", {"pool_name": "small"}),
            ("bulk_pools", {"delete": ["small"]}),
            ("bulk_pools", {"create": [POOL], "delete": ["small"]}),
            ("bulk_variables", {"delete": ["limit"]}),
            ("bulk_connections", {"delete": ["warehouse"]}),
            ("bulk_dag_runs", {"dag_id": "etl_a", "delete": ["r1"]}),
            ("bulk_task_instances", {"dag_id": "etl_a", "dag_run_id": "r1", "delete": ["load"]}),
        ):
            sentence = await someone.refused(tool, **arguments)
            assert "deny rule 1" in sentence
            assert tool.startswith("delete_") or "denies its effect delete_" in sentence
        assert world.airflow.seen == []
        await someone.ask("bulk_pools", create=[POOL], update=[POOL])
    assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize(
    ("rule", "tool", "arguments"),
    [
        ("trigger_dag_run", "trigger_and_wait", {"dag_id": "etl_a", "dag_run_id": "r1"}),
        ("clear_task_instances", "plan_recovery", {"dag_ids": ["etl_a", "etl_b"], "since": SINCE, "dry_run": False}),
        (
            "create_backfill",
            "plan_recovery",
            {
                "dag_ids": ["etl_a"],
                "since": SINCE,
                "until": "2026-11-22T00:00:00Z",
                "mode": "backfill",
                "dry_run": False,
            },
        ),
        (
            "set_dag_run_state",
            "bulk_dag_runs",
            {"dag_id": "etl_a", "update": [{"dag_run_id": "r1", "state": "failed"}]},
        ),
        ("set_dag_run_note", "bulk_dag_runs", {"dag_id": "etl_a", "update": [{"dag_run_id": "r1", "note": "n"}]}),
        ("delete_dag_run", "bulk_dag_runs", {"dag_id": "etl_a", "delete": ["r1"]}),
        ("pause_dag", "pause_dags", {"dag_id_pattern": "etl"}),
        ("unpause_dag", "unpause_dags", {"dag_id_pattern": "etl"}),
    ],
)
@pytest.mark.parametrize("default", ["read", "none"])
async def test_leave_for_an_operation_is_leave_for_it_by_every_way_with_the_reads_that_the_way_takes(
    rule: str, tool: str, arguments: Json, default: str
) -> None:
    world = failed()
    policy: Json = {"default": default, "allow": [{"tools": [rule], "dags": ["etl_*"], "confirm": "never"}]}
    async with connected(world.airflow, policy) as someone:
        await someone.ask(tool, **arguments)
        assert changes(world.airflow)
        world.airflow.seen.clear()
        strange = {name: ["etl_a", "payroll_a"] if name == "dag_ids" else "payroll_a" for name in arguments}
        strange = {"dag_id_pattern": "a", "dag_id": "payroll_a", "dag_ids": ["etl_a", "payroll_a"]}
        theirs = arguments | {name: value for name, value in strange.items() if name in arguments}
        theirs |= {"dag_ids": ["payroll_a"]} if arguments.get("mode") else {}
        assert f"its effect {rule} is allowed only by" in await someone.refused(tool, **theirs)
        if default == "none":
            assert "not allowed" in await someone.refused("list_dag_runs", dag_id="etl_a")
    assert changes(world.airflow) == []


async def test_each_of_many_is_decided_by_the_rule_about_it() -> None:
    world = World()
    policy: Json = {
        "allow": [
            {"tools": ["delete_pool"], "pools": ["small"], "confirm": "never"},
            {"tools": ["create_pool"], "pools": ["new_*"], "confirm": "never"},
        ]
    }
    async with connected(world.airflow, policy) as someone:
        for refused in (
            {"delete": ["small", "payroll_pool"]},
            {"create": [{"pool_name": "small", "slots": 1}]},
            {"create": [{"pool_name": "new_a", "slots": 1}], "delete": ["new_a"]},
            {"create": [{"pool_name": "new_a", "slots": 1}], "on_existing": "overwrite"},
            {"update": [POOL]},
            {"create": [], "delete": []},
        ):
            assert "not allowed" in await someone.refused("bulk_pools", **refused), refused
        assert world.airflow.seen == []
        await someone.ask("bulk_pools", create=[{"pool_name": "new_a", "slots": 1}], delete=["small"])
    assert len(changes(world.airflow)) == 1


async def test_an_entity_that_says_nothing_to_change_and_one_that_says_too_much_are_told_why() -> None:
    world = World()
    async with connected(world.airflow, allow=("@write",)) as someone:
        nothing = await someone.refused("bulk_dag_runs", dag_id="etl_a", update=[{"dag_run_id": "r1"}])
        long = await someone.refused("set_dag_run_note", dag_id="etl_a", dag_run_id="r1", note="x" * 1001)
        many = await someone.refused("bulk_dag_runs", dag_id="etl_a", update=[{"dag_run_id": "r", "note": "n"}] * 101)
    assert "update.0 must have at least 2 of dag_run_id, state, note, dag_id" in nothing
    assert "note must have at most 1000 characters" in long
    assert "update must have at most 100 items" in many
    assert changes(world.airflow) == []


async def test_a_list_of_none_is_no_effect(tmp_path: Path) -> None:
    """Clients that write out every argument give lists of nothing."""
    world, file = World(), tmp_path / "audit"
    policy: Json = {
        "per_minute": {"destructive": 1},
        "allow": [{"tools": ["*"], "confirm": "never"}],
        "deny": [{"tools": ["@delete"]}],
    }
    async with connected(world.airflow, policy, audit=str(file)) as someone:
        for _ in range(2):
            await someone.ask("bulk_pools", create=[POOL], update=[], delete=[])
        assert "denies its effect delete_pool" in await someone.refused("bulk_pools", create=[], delete=["small"])
    (action,) = changes(world.airflow)[0].body["actions"]
    assert action["action"] == "create"
    first = json.loads(file.read_text().splitlines()[0])
    assert (first["effects"], first["targets"]) == (["create_pool"], ["pool small"])


@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        ([{"tools": ["create_pool"], "confirm": "never"}, {"tools": ["delete_pool"], "confirm": "human"}], "human"),
        ([{"tools": ["create_pool"], "confirm": "never"}, {"tools": ["delete_pool"]}], "plan"),
        ([{"tools": ["create_pool"]}, {"tools": ["delete_pool"], "confirm": "never"}], "plan"),
        ([{"tools": ["create_pool", "delete_pool"], "confirm": "never"}], "never"),
    ],
)
async def test_the_strictest_confirmation_of_all_effects_holds(rules: list[Json], kind: str) -> None:
    world = World()
    person = Person(world, YES)
    async with connected(world.airflow, {"allow": rules}, human=person) as someone:
        told = await someone.ask("explain_permission", tool="bulk_pools", arguments={"create": [POOL], "delete": ["x"]})
        answer = await someone.ask("bulk_pools", create=[POOL], delete=["payroll_pool"])
    assert told.get("confirm", "never") == kind
    assert ("plan" in answer, len(person.questions)) == (kind == "plan", kind == "human")


async def test_a_cap_of_one_effect_counts_all_that_the_call_does() -> None:
    world = World()
    rules: list[Json] = [
        {"tools": ["create_pool"], "confirm": "never"},
        {"tools": ["delete_pool"], "confirm": "never", "max_affected": 2},
    ]
    new = [{"pool_name": f"p{number}", "slots": 1} for number in range(2)]
    async with connected(world.airflow, {"allow": rules}) as someone:
        sentence = await someone.refused("bulk_pools", create=new, delete=["small"])
        assert "would touch 3 objects; 2 are allowed" in sentence
        assert changes(world.airflow) == []
        await someone.ask("bulk_pools", create=new[:1], delete=["small"])
        await someone.ask("bulk_pools", create=[*new, {"pool_name": "p3", "slots": 1}])
    assert len(changes(world.airflow)) == 2


async def test_a_call_of_many_effects_is_counted_once_by_the_strictest_of_them() -> None:
    world = World()
    policy: Json = {"per_minute": {"write": 1, "destructive": 1}, "allow": [{"tools": ["*"], "confirm": "never"}]}
    async with connected(world.airflow, policy) as someone:
        await someone.ask("bulk_pools", create=[POOL], update=[POOL], delete=["small"])
        await someone.ask("bulk_pools", create=[POOL])  # what only writes is a write
        assert "Too many write calls" in await someone.refused("create_pool", **POOL)
        assert "Too many destructive calls" in await someone.refused("bulk_pools", delete=["small"])


@pytest.mark.parametrize("default", ["read", "none"])
async def test_a_preview_shows_what_the_rule_for_the_effect_is_about(default: str) -> None:
    world = World()
    policy: Json = {"default": default, "allow": [{"tools": ["delete_variable"], "variables": ["limit"]}]}
    async with connected(world.airflow, policy) as someone:
        shown = (await someone.ask("bulk_variables", delete=["limit"]))["preview"]
    assert shown["now"][0]["key"] == "limit"


@pytest.mark.parametrize("tool", WAYS, ids=lambda tool: tool.name)
def test_a_way_in_an_allow_rule_stops_the_start_and_says_what_to_write(tool: Any) -> None:
    for rules in ({"allow": [{"tools": ["pause_dag", tool.name]}]}, {}):
        with pytest.raises(SettingsError) as stopped:
            parse_policy(() if rules else [tool.name], CATALOG, table=rules)
        sentence = str(stopped.value)
        assert f"{tool.name} has no permission of its own" in sentence
        assert all(effect.name in sentence for effect in tool.effects)
    parse_policy((), CATALOG, table={"deny": [{"tools": [tool.name]}]})


@pytest.mark.parametrize("pattern", ["bulk_*", "plan_*"])
def test_a_glob_that_matches_nothing_but_ways_stops_the_start_and_says_what_to_write(pattern: str) -> None:
    with pytest.raises(SettingsError, match=r"only tools without a permission of their own: allow (create|clear)_"):
        parse_policy([pattern], CATALOG)


@pytest.mark.parametrize("word", ["bulk_pools", "bulk_*", "pools"])
async def test_a_denial_of_the_way_denies_the_way(word: str) -> None:
    world = World()
    async with connected(
        world.airflow, {"allow": [{"tools": ["*"], "confirm": "never"}], "deny": [{"tools": [word]}]}
    ) as someone:
        assert "bulk_pools" not in await someone.tools()
        assert "denies it" in await someone.refused("bulk_pools", delete=["small"])
        if word != "pools":
            await someone.ask("delete_pool", pool_name="small")
    some: Json = {"tools": [word], "pools": ["payroll_*"]}
    async with connected(world.airflow, {"allow": [{"tools": ["*"], "confirm": "never"}], "deny": [some]}) as someone:
        assert "denies it" in await someone.refused("bulk_pools", delete=["small", "payroll_pool"])
        await someone.ask("bulk_pools", delete=["small"])


async def test_a_refusal_and_its_explanation_name_the_effect_and_advise_it_alone() -> None:
    world = World()
    async with connected(world.airflow, allow=("create_pool",)) as someone:
        sentence = await someone.refused("bulk_pools", create=[POOL], delete=["small"])
        told = await someone.ask("explain_permission", tool="bulk_pools", arguments={"delete": ["small"]})
        nothing = await someone.refused("bulk_variables", delete=["limit"])
        several = await someone.refused("bulk_variables", create=[{"variable_key": "k", "value": 1}], delete=["limit"])
    assert "its effect delete_pool is a destructive operation that no rule allows" in sentence
    assert "adding delete_pool to" in sentence
    assert (told["effects"], told["verdict"]) == (["delete_pool"], "denied")
    assert "adding delete_pool to" in told["change"]
    assert "adding delete_variable to" in nothing
    assert "adding create_variable and delete_variable to" in several
    assert "@" not in sentence + nothing + several


async def test_the_trail_names_the_effects_of_what_is_made_and_of_what_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "audit"
    async with connected(
        World().airflow, {"allow": [{"tools": ["create_pool"], "confirm": "never"}]}, audit=str(file)
    ) as someone:
        await someone.ask("bulk_pools", create=[POOL])
        await someone.refused("bulk_pools", create=[POOL], delete=["small"])
        await someone.refused("bulk_variables", delete=["limit"])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["phase"], line["effects"]) for line in lines] == [
        ("begins", ["create_pool"]),
        ("ends", ["create_pool"]),
        ("ends", ["create_pool", "delete_pool"]),
        ("ends", ["delete_variable"]),
    ]


async def test_a_test_that_stores_the_connection_is_a_change_of_it() -> None:
    world = World()
    given: Json = {"connection_id": "warehouse", "conn_type": "http"}
    async with connected(world.airflow, allow=("enqueue_connection_test", "create_connection")) as someone:
        await someone.ask("enqueue_connection_test", **given)
        sentence = await someone.refused("enqueue_connection_test", **given, commit_on_success=True)
    assert "its effect update_connection is a write operation that no rule allows" in sentence
    assert len(changes(world.airflow)) == 1


ONLY_ETL: Json = {"allow": [{"tools": ["pause_dag"], "dags": ["etl_*"]}]}


@pytest.mark.parametrize("version", GENERATIONS)
async def test_of_the_dags_that_fit_a_filter_each_is_decided_and_none_else_is_reached(version: str) -> None:
    """Not even one that fits only once the decision is made."""
    world = World(version)

    def lists(sent: Sent) -> Json:
        answer = world.answer(sent)
        world.dags.append("etl_payroll")
        return answer

    world.airflow.on("GET", "/dags", lists)
    async with connected(world.airflow, {**ONLY_ETL, "deny": [{"tools": ["*"], "dags": ["*payroll*"]}]}) as someone:
        answer = await someone.ask("pause_dags", dag_id_pattern="etl")
        assert answer["rows"]
        assert {sent.path.rpartition("/")[2] for sent in changes(world.airflow)} == {"etl_a", "etl_b"}
        world.airflow.seen.clear()
        assert "not allowed" in await someone.refused("pause_dags", dag_id_pattern="etl")
        assert "not allowed" in await someone.refused("pause_dags", dag_id_pattern="~")
    assert changes(world.airflow) == []


@pytest.mark.parametrize(
    "rules", [ONLY_ETL, {"allow": [{"tools": ["*"]}], "deny": [{"tools": ["*"], "dags": ["payroll_*"]}]}]
)
async def test_a_filter_tells_nothing_of_dags_that_may_not_be_seen(rules: Json) -> None:
    world = World()
    async with connected(world.airflow, rules) as someone:
        there = await someone.refused("pause_dags", dag_id_pattern="payroll_a")
        nowhere = await someone.refused("pause_dags", dag_id_pattern="payroll_zzz")
    assert there == nowhere


async def test_more_dags_than_are_decided_at_once_are_not_touched() -> None:
    world = World(dags=[f"etl_{number}" for number in range(101)])
    async with connected(world.airflow, ONLY_ETL) as someone:
        assert "more than 100 DAGs fit" in await someone.refused("pause_dags", dag_id_pattern="etl")
    assert changes(world.airflow) == []


async def test_a_plan_for_some_dags_names_them_and_pauses_these() -> None:
    world = World()
    policy: Json = {
        "default": "none",
        "allow": [{"tools": ["pause_dag"], "dags": ["etl_*"], "confirm": "plan", "max_affected": 2}],
    }
    async with connected(world.airflow, policy) as someone:
        asked = await someone.ask("pause_dags", dag_id_pattern="etl")
        assert asked["preview"]["targets"] == ["dag etl_a", "dag etl_b"]
        await someone.ask("pause_dags", dag_id_pattern="etl", plan=asked["plan"])
        assert len(changes(world.airflow)) == 2
        world.dags.append("etl_c")
        world.runs["etl_c"] = ["r1"]
        assert "would touch 3 objects" in await someone.refused("pause_dags", dag_id_pattern="etl")
