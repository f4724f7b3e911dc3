"""Calls that name many things at once, or nothing that a rule knows, reach what policy allows and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.permissions.support import CATALOG, NO_PAYROLL, Json, changes, connected, whole_call
from tests.permissions.test_human import YES, Person
from tests.permissions.test_sent_is_decided import POLICIES
from tests.permissions.world import World
from tests.unit.assistant import GENERATIONS, table
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import task_instance

pytestmark = pytest.mark.anyio
PLAIN = ("allow some", "deny the rest")  # policies without a confirmation
DENY: Json = {"allow": [{"tools": ["*"], "confirm": "never"}], "deny": [NO_PAYROLL]}


def run_of(**whose: str) -> Json:
    """A run to change, of this DAG or of the path's."""
    return {"dag_run_id": "r1", "state": "failed", **whose}


def task_of(**whose: str) -> Json:
    """A task instance to change."""
    return {"task_id": "load", "new_state": "failed", "dag_run_id": "r1", **whose}


STRANGERS: list[tuple[str, Json]] = [
    ("bulk_pools", {"create": [{"pool_name": "small", "slots": 1}, {"pool_name": "payroll_pool", "slots": 1}]}),
    ("bulk_pools", {"update": [{"pool_name": "small", "slots": 1}, {"pool_name": "payroll_pool", "slots": 1}]}),
    ("bulk_pools", {"delete": ["small", "payroll_pool"]}),
    ("bulk_pools", {"delete": ["small", "~"]}),
    ("bulk_pools", {"create": [{"pool_name": "small", "slots": 1}], "delete": ["payroll_pool"]}),
    (
        "bulk_variables",
        {"create": [{"variable_key": "limit", "value": 1}, {"variable_key": "payroll_limit", "value": 1}]},
    ),
    (
        "bulk_variables",
        {"update": [{"variable_key": "payroll_limit", "value": 1}, {"variable_key": "limit", "value": 1}]},
    ),
    ("bulk_variables", {"delete": ["limit", "payroll_limit"]}),
    ("bulk_connections", {"delete": ["warehouse", "payroll_db"]}),
    ("bulk_connections", {"update": [{"connection_id": "payroll_db", "host": "evil.example"}]}),
    ("bulk_dag_runs", {"dag_id": "etl_a", "update": [run_of(), run_of(dag_id="payroll_a")]}),
    ("bulk_dag_runs", {"dag_id": "etl_a", "update": [run_of(), run_of(dag_id="~")]}),
    ("bulk_dag_runs", {"dag_id": "~", "update": [run_of(dag_id="etl_a"), run_of()]}),
    ("bulk_dag_runs", {"dag_id": "~", "update": [run_of(dag_id="etl_a"), run_of(dag_id="")]}),
    ("bulk_dag_runs", {"dag_id": "~", "delete": ["r1"]}),
    ("bulk_dag_runs", {"dag_id": "~", "update": [run_of(dag_id="etl_a")], "delete": ["r1"]}),
    ("bulk_dag_runs", {"dag_id": "payroll_a", "update": [run_of(dag_id="etl_a")]}),
    ("bulk_task_instances", {"dag_id": "etl_a", "dag_run_id": "r1", "update": [task_of(dag_id="payroll_a")]}),
    ("bulk_task_instances", {"dag_id": "~", "dag_run_id": "~", "update": [task_of(dag_id="etl_a"), task_of()]}),
    ("bulk_task_instances", {"dag_id": "~", "dag_run_id": "~", "delete": ["load"]}),
    ("bulk_task_instances", {"dag_id": "etl_a", "dag_run_id": "~", "delete": [task_of(dag_id="~")]}),
]


@pytest.mark.parametrize("policy", PLAIN)
async def test_one_stranger_in_a_bulk_call_refuses_all_of_it(policy: str) -> None:
    world = World()
    async with connected(world.airflow, POLICIES[policy]) as someone:
        for tool, arguments in STRANGERS:
            arguments = {key: value if key != "delete" else _plain(value) for key, value in arguments.items()}
            assert "not allowed" in await someone.refused(tool, **arguments), arguments
    assert world.airflow.seen == []


def _plain(entities: list[Any]) -> list[Any]:
    return [{k: v for k, v in one.items() if k != "new_state"} if isinstance(one, dict) else one for one in entities]


@pytest.mark.parametrize("policy", PLAIN)
async def test_a_bulk_call_for_every_dag_whose_entities_all_say_an_allowed_one_is_made(policy: str) -> None:
    world = World()
    async with connected(world.airflow, POLICIES[policy]) as someone:
        await someone.ask("bulk_dag_runs", dag_id="~", update=[run_of(dag_id="etl_a"), run_of(dag_id="etl_b")])
    (sent,) = changes(world.airflow)
    assert [one["dag_id"] for action in sent.body["actions"] for one in action["entities"]] == ["etl_a", "etl_b"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_list_of_dags_that_names_a_denied_one_is_refused_and_one_of_others_is_answered(version: str) -> None:
    world = World(version, ("etl_a", "etl_b", "payroll_a"))
    runs, tasks = {"dag_id": "~"}, {"dag_id": "~", "dag_run_id": "~"}
    async with connected(world.airflow, DENY) as someone:
        for tool, ids in (("list_dag_runs", runs), ("list_task_instances", tasks)):
            for named in (["payroll_a"], ["etl_a", "payroll_a"]):
                assert "not allowed" in await someone.refused(tool, **ids, dag_ids=named)
            await someone.refused(tool, **{**ids, "dag_id": "etl_a"}, dag_ids=["etl_b"])
        assert world.airflow.sent == []
        for tool, ids in (("list_dag_runs", runs), ("list_task_instances", tasks)):
            rows = table(await someone.ask(tool, **ids, dag_ids=["etl_a", "etl_b"]))
            assert [row["dag_id"] for row in rows] == ["etl_a", "etl_b"]
            assert "payroll" not in str(await someone.ask(tool, **ids, dag_ids=["etl_a", "~"]))


async def test_a_comma_makes_no_second_dag_of_an_allowed_one() -> None:
    """Airflow 2 parts this list by commas, and the rule's glob would take the whole for one DAG."""
    world = World("2.11.2")
    only: Json = {"default": "none", "allow": [{"tools": ["@read"], "dags": ["etl_*"]}]}
    async with connected(world.airflow, only) as someone:
        assert "comma" in await someone.refused("get_dag_stats", dag_ids=["etl_a,payroll_a"])
        await someone.ask("get_dag_stats", dag_ids=["etl_a", "etl_b"])
    assert [sent.asked["dag_ids"] for sent in world.airflow.sent] == ["etl_a,etl_b"]


LOOKING = [tool for tool in CATALOG.tools.values() if tool.entry.look_up and tool.entry.access != "read"]
MINE: dict[str, Json] = {"asset": {"uri": "s3://lake/orders"}, "backfill": {"backfill_id": 5}}
THEIRS: dict[str, Json] = {"asset": {"uri": "s3://lake/salaries"}, "backfill": {"backfill_id": 6}}
UNKNOWN: dict[str, Json] = {"asset": {"uri": "s3://lake/unknown"}, "backfill": {"backfill_id": 99}}


def about(tool: Any, which: dict[str, Json]) -> Json:
    """A call of this tool about one asset or backfill."""
    return whole_call(tool) | which["backfill" if "backfill" in tool.name else "asset"]


@pytest.mark.parametrize("policy", PLAIN)
async def test_an_asset_or_backfill_of_a_denied_dag_or_of_nobody_knows_which_is_not_touched(policy: str) -> None:
    world = World()
    world.assets["s3://lake/lonely"] = ("9", "", "")
    async with connected(world.airflow, POLICIES[policy]) as someone:
        for tool in LOOKING:
            assert "not allowed" in await someone.refused(tool.name, **about(tool, THEIRS)), tool.name
            await someone.refused(tool.name, **about(tool, UNKNOWN))
            if "backfill" not in tool.name:
                lonely = {**about(tool, UNKNOWN), "uri": "s3://lake/lonely"}
                assert "not allowed" in await someone.refused(tool.name, **lonely)
                both = {**about(tool, MINE), "asset_id": 8}
                assert "not both" in await someone.refused(tool.name, **both)
                by_number = {name: value for name, value in both.items() if name != "uri"}
                assert "not allowed" in await someone.refused(tool.name, **by_number)
        assert changes(world.airflow) == []
        for tool in LOOKING:
            world.airflow.seen.clear()
            await someone.ask(tool.name, **about(tool, MINE))
            assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("status", [403, 500])
async def test_what_cannot_be_looked_up_is_not_touched(status: int) -> None:
    world = World()
    for path in ("/assets", "/assets/7", "/backfills/5"):
        world.airflow.on("GET", path, Reply(status, {"detail": "no"}))
    async with connected(world.airflow, DENY) as someone:
        for tool in LOOKING:
            await someone.refused(tool.name, **about(tool, MINE))
    assert changes(world.airflow) == []


async def test_whoever_confirms_is_told_whose_an_asset_or_backfill_is_and_caps_count_them() -> None:
    world = World()
    world.assets["s3://lake/lonely"] = ("9", "", "")
    person = Person(world, YES)
    policy: Json = {"allow": [{"tools": ["*"], "confirm": "human", "max_affected": 3}]}
    async with connected(world.airflow, policy, human=person) as someone:
        await someone.ask("pause_backfill", backfill_id=6)
        world.airflow.seen.clear()
        await someone.ask("create_asset_event", uri="s3://lake/orders")
        world.airflow.seen.clear()
        assert "max_affected" in await someone.refused("create_asset_event", uri="s3://lake/lonely")
    assert "dag payroll_a" in person.questions[0]
    assert "dag etl_b" in person.questions[1]
    assert changes(world.airflow) == []


@pytest.mark.parametrize("tool", ["set_dag_run_state", "bulk_dag_runs"])
async def test_what_goes_with_each_run_of_a_bulk_call_is_counted_as_for_one(tool: str) -> None:
    world = World()
    tasks = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": f"t{number}"} for number in range(5)]
    world.airflow.on("GET", "/dags/etl_a/dagRuns/r1/taskInstances", {"task_instances": tasks, "total_entries": 40})
    policy: Json = {"allow": [{"tools": ["*"], "confirm": "never", "max_affected": 40}]}
    async with connected(world.airflow, policy) as someone:
        sentence = await someone.refused(tool, **whole_call(CATALOG.tools[tool]))
    assert "would touch 41 objects" in sentence
    assert changes(world.airflow) == []


SHELVES: list[tuple[str, str, str, str, str]] = [
    ("variables", "variable", "variable_key", "limit", "payroll_limit"),
    ("connections", "connection", "connection_id", "warehouse", "payroll_db"),
    ("pools", "pool", "pool_name", "small", "payroll_pool"),
]


@pytest.mark.parametrize("kind", ["allow", "deny"])
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(("nouns", "noun", "argument", "mine", "theirs"), SHELVES)
async def test_a_pattern_holds_for_every_way_to_a_variable_connection_or_pool(
    version: str, kind: str, nouns: str, noun: str, argument: str, mine: str, theirs: str
) -> None:
    world = World(version)
    rule: Json = {"tools": ["*"], "confirm": "never"}
    policy: Json = {"default": "none", "allow": [{**rule, nouns: [mine]}]}
    if kind == "deny":
        policy = {"allow": [rule], "deny": [{"tools": ["*"], nouns: ["payroll_*"]}]}
    async with connected(world.airflow, policy) as someone:
        answer = await someone.ask(f"list_{nouns}")
        assert len(answer["rows"]) == 1
        assert "payroll" not in str(answer)
        assert "total" not in answer
        for word in ("get", "update", "delete"):
            arguments = whole_call(CATALOG.tools[f"{word}_{noun}"])
            await someone.ask(f"{word}_{noun}", **arguments | {argument: mine})
            world.airflow.sent.clear()
            for strange in (theirs, "~"):
                result = await someone.client.call_tool(f"{word}_{noun}", arguments | {argument: strange})
                assert result.is_error, (word, strange)
            assert not [sent for sent in world.airflow.sent if "payroll" in sent.path or sent.method != "GET"]
        create = whole_call(CATALOG.tools[f"create_{noun}"], **{argument: theirs})
        assert "not allowed" in await someone.refused(f"create_{noun}", **create)


@pytest.mark.parametrize("confirm", ["plan", "human"])
async def test_a_file_that_a_denied_dag_stands_in_too_is_not_parsed_again_and_nobody_is_asked(confirm: str) -> None:
    world = World("3.3.2", files={"etl_b": "shared.py", "payroll_a": "shared.py"})
    person = Person(world, YES)
    policy: Json = {**DENY, "allow": [{"tools": ["*"], "confirm": confirm}]}
    async with connected(world.airflow, policy, human=person) as someone:
        assert "not allowed" in await someone.refused("reparse_dag", dag_id="etl_b")
        assert person.questions == []
        await someone.ask("reparse_dag", dag_id="etl_a")
    assert [sent.line.rpartition("/")[2] for sent in changes(world.airflow)] == ["token-of-etl_a"] * len(
        person.questions
    )


@pytest.mark.parametrize("confirm", ["plan", "human"])
async def test_a_preview_shows_nothing_that_the_caller_may_not_read(confirm: str) -> None:
    world = World()
    person = Person(world, YES)
    reads = ["get_connection", "get_variable", "get_backfill", "get_dag_run", "list_asset_queued_events"]
    policy: Json = {
        "allow": [{"tools": ["*"], "confirm": confirm}],
        "deny": [{"tools": reads[:2]}, {"tools": reads[2:], "dags": ["*"]}],
    }
    calls: list[tuple[str, Json]] = [
        ("delete_connection", {"connection_id": "warehouse"}),
        ("bulk_connections", {"delete": ["warehouse"]}),
        ("delete_variable", {"variable_key": "limit"}),
        ("bulk_variables", {"delete": ["limit"]}),
        ("cancel_backfill", {"backfill_id": 6}),
        ("delete_asset_queued_events", {"uri": "s3://lake/salaries"}),
        ("bulk_dag_runs", {"dag_id": "etl_a", "delete": ["r1"]}),
    ]
    async with connected(world.airflow, policy, human=person) as someone:
        for tool, arguments in calls:
            world.airflow.seen.clear()
            answer = await someone.ask(tool, **arguments)
            shown = str(answer.get("preview", "")) + "".join(person.questions)
            for secret in ("warehouse.example", "value of", "about limit", "from_date", "created_at", "run_type"):
                assert secret not in shown, tool


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_stands_around_an_asset_is_hidden_with_the_denied_dag(version: str) -> None:
    world = World(version)
    async with connected(world.airflow, DENY) as someone:
        for tool, arguments in (
            ("list_assets", {}),
            ("list_asset_events", {}),
            ("list_upstream_asset_events", {"dag_id": "etl_b", "dag_run_id": "r1"}),
        ):
            answer = await someone.ask(tool, **arguments, fields=["*"])
            assert len(answer["rows"]) == 1, tool
            assert "payroll" not in str(answer)
            assert "salaries" not in str(answer)
        if world.legacy:
            return
        assert (await someone.ask("list_asset_states", asset_id=7))["total"] == 1
        for tool in ("list_asset_states", "get_asset_state", "get_asset"):
            arguments = {"asset_id": 8} | ({"state_key": "k"} if "get_asset_state" in tool else {})
            assert "payroll" not in str(await someone.client.call_tool(tool, arguments)).replace("dags payroll_*", "")
    assert not [sent.line for sent in world.airflow.sent if sent.path.startswith("/assets/8/state-store")]


async def test_the_first_index_of_a_mapped_task_is_shown_as_itself_before_it_is_deleted() -> None:
    path = "/dags/etl_a/dagRuns/r1/taskInstances"
    airflow = FakeAirflow().on("GET", f"{path}/load/0", task_instance(map_index=0))
    call = {"dag_id": "etl_a", "dag_run_id": "r1", "delete": [{"task_id": "load", "map_index": 0}]}
    async with connected(airflow, {"allow": [{"tools": ["@destructive"]}]}) as someone:
        shown = (await someone.ask("bulk_task_instances", **call))["preview"]
    assert shown["targets"] == ["delete etl_a/r1/0/load"]
    assert [row["map_index"] for row in shown["now"]] == [0]
