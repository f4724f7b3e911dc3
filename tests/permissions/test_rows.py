"""Lists lose the rows of denied DAGs and nothing else: walked to their end, in few requests, whatever is denied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.permissions.kinds import more_tools
from tests.permissions.support import CATALOG, NO_PAYROLL, Json, connected, patient, talking_to, whole_call
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS, Assistant, table
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
DENY: Json = {"deny": [NO_PAYROLL]}
ONLY_ETL: Json = {"default": "none", "allow": [{"tools": ["@read"], "dags": ["etl_*"]}]}
POLICIES = {"deny": DENY, "default none": ONLY_ETL}
READS = [tool for tool in CATALOG.tools.values() if tool.entry.access == "read"]
LISTS: dict[str, Json] = {  # every list that holds rows of many DAGs
    "list_dags": {},
    "list_dag_runs": {"dag_id": "~"},
    "list_task_instances": {"dag_id": "~", "dag_run_id": "~"},
    "list_xcoms": {"dag_id": "~", "dag_run_id": "~", "task_id": "~"},
    "list_dag_warnings": {},
    "list_event_logs": {},
    "list_import_errors": {},
    "get_dag_stats": {},
}
MIXED = ["payroll_a", "etl_a", "payroll_b", "payroll_c", "etl_b", "etl_c", "payroll_d"]


def shown_dag(row: Json) -> str:
    """Whose row it is."""
    return row.get("dag_id") or row["filename"].rpartition("/")[2].removesuffix(".py")


async def walk(someone: Assistant, tool: str, world: World, **arguments: Any) -> list[str]:
    """The DAG of every row, from following `more` to the end; each answer is held to its number of requests."""
    rows: list[str] = []
    for _ in range(400):
        before = len(world.airflow.sent)
        answer = await someone.ask(tool, **arguments)
        pages = [sent for sent in world.airflow.sent[before:] if tool == "list_dags" or sent.path != "/dags"]
        assert len(pages) <= 5
        assert "total" not in answer
        following = answer.get("more", {})
        arguments |= following
        if "max_chars" in following:
            continue  # the same page again, whole
        assert "left_out" not in answer
        rows += [shown_dag(row) for row in table(answer)]
        if not following:
            return rows
    raise AssertionError(f"{tool} has no end")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("tool", LISTS)
@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_a_list_shows_every_allowed_row_once_and_no_denied_one(
    version: str, tool: str, policy: str, limit: int
) -> None:
    world = World(version, MIXED)
    async with connected(world.airflow, POLICIES[policy]) as someone:
        rows = await walk(someone, tool, world, **LISTS[tool], limit=limit)
        assert rows == ["etl_a", "etl_b", "etl_c"]
        everything = await walk(someone, tool, world, **LISTS[tool], limit=limit, fields=["*"])
    assert everything == rows


@patient(60)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 45), st.sampled_from(sorted(LISTS)))
@example([False] * 40, 1, "list_dags")
@example([False] * 39 + [True], 1, "list_dag_runs")
@example([True, False] * 20, 7, "list_event_logs")
def test_a_walk_is_right_whichever_rows_are_denied(denied: list[bool], limit: int, tool: str) -> None:
    names = [f"{'payroll' if one else 'etl'}_{number:02}" for number, one in enumerate(denied)]
    world = World("3.3.2", names)
    found: list[str] = []
    arguments: Json = {**LISTS[tool], "limit": limit}
    with talking_to(world.airflow, DENY) as call:
        for _ in range(len(names) + 2):
            answer = call(tool, **arguments).structured_content or {}
            found += [shown_dag(row) for row in table(answer)]
            assert "payroll" not in str(answer)
            if "more" not in answer:
                break
            assert answer["more"]["offset"] > arguments.get("offset", 0)
            arguments |= answer["more"]
    assert found == [name for name in names if name.startswith("etl")]


@pytest.mark.parametrize("ceiling", [1000, 2000])
async def test_a_walk_reaches_every_allowed_row_under_the_operators_smallest_ceilings(ceiling: int) -> None:
    names = [f"{'payroll' if number % 3 else 'etl'}_{number:02}" for number in range(60)]
    world = World("3.3.2", names)
    async with connected(world.airflow, DENY, max_chars=ceiling) as someone:
        rows = await walk(someone, "list_dags", world)
    assert rows == [name for name in names if name.startswith("etl")]


BOTH: Json = {"deny": [{"tools": ["*"], "dags": ["etl_*"], "pools": ["big"]}]}
ONLY_BOTH: Json = {"default": "none", "allow": [{"tools": ["*"], "dags": ["etl_*"], "pools": ["big"]}]}


@pytest.mark.parametrize(
    ("policy", "shown"),
    [(BOTH, [("ops", "big"), ("etl_a", "small")]), (ONLY_BOTH, [("etl_a", "big"), ("etl_b", "big")])],
    ids=["deny", "allow"],
)
@pytest.mark.parametrize("arguments", [{}, {"pool_name": "big"}, {"dag_id": "etl_a"}])
async def test_a_rule_about_two_nouns_is_held_against_each_row_as_a_whole(
    tmp_path: Path, policy: Json, shown: list[tuple[str, str]], arguments: Json
) -> None:
    held = [("etl_a", "big"), ("ops", "big"), ("etl_a", "small"), ("etl_b", "big")]
    asked = [
        (dag, pool)
        for dag, pool in held
        if arguments.get("dag_id", dag) == dag and arguments.get("pool_name", pool) == pool
    ]
    slots = [{"dag_id": dag, "name": pool} for dag, pool in asked]
    airflow = FakeAirflow().on("GET", "/slots", {"slots": slots, "total_entries": len(slots)})
    async with connected(airflow, policy, catalog=more_tools(tmp_path / "manifests")) as someone:
        answer = await someone.ask("list_slots", **arguments)
    rows = [{**arguments, **row} for row in table(answer)]
    assert [(row["dag_id"], row.get("name", row.get("pool_name"))) for row in rows] == [
        one for one in shown if one in asked
    ]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_one_answer_takes_at_most_five_requests_and_says_where_to_go_on(version: str) -> None:
    world = World(version, [*(f"payroll_{number:04}" for number in range(30)), "etl_a"])
    async with connected(world.airflow, DENY) as someone:
        answer = await someone.ask("list_dags", limit=4)
    assert len(world.airflow.sent) == 5
    assert (answer["rows"], answer["more"]) == ([], {"offset": 20})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_rows_that_belong_to_no_dag_are_hidden(version: str, policy: str) -> None:
    world = World(version)
    world.errors = ["etl_a.py", "nobody_knows.py"]
    async with connected(world.airflow, POLICIES[policy]) as someone:
        assert [row["dag_id"] for row in table(await someone.ask("list_event_logs"))] == ["etl_a", "etl_b"]
        (error,) = table(await someone.ask("list_import_errors"))
        if version.startswith("3."):
            assert (await someone.ask("list_dag_tags"))["rows"] == []
    assert error["filename"].endswith("etl_a.py")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_import_error_is_shown_only_where_every_dag_of_its_file_may_be_seen(version: str, policy: str) -> None:
    world = World(version, ("etl_a", "etl_b", "payroll_a"), files={"etl_b": "shared.py", "payroll_a": "shared.py"})
    world.errors = ["etl_a.py", "shared.py", "nobody_knows.py"]
    async with connected(world.airflow, POLICIES[policy]) as someone:
        assert len((await someone.ask("list_import_errors", fields=["*"]))["rows"]) == 1
        assert (await someone.ask("get_import_error", import_error_id=0))["stack_trace"].endswith("etl_a.py")
        for hidden in (1, 2):
            sentence = await someone.refused("get_import_error", import_error_id=hidden, fields=["*"])
            assert "shared" not in sentence
            assert "nobody_knows" not in sentence


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_source_file_that_defines_a_denied_dag_too_is_refused(version: str, policy: str) -> None:
    world = World(version, ("etl_a", "etl_b", "payroll_a"), files={"etl_b": "shared.py", "payroll_a": "shared.py"})
    async with connected(world.airflow, POLICIES[policy]) as someone:
        assert (await someone.ask("get_dag_source", dag_id="etl_a"))["content"] == "source of etl_a"
        for refused in ("etl_b", "payroll_a", "~"):
            await someone.refused("get_dag_source", dag_id=refused)
    sources = {sent.path for sent in world.airflow.sent if "Sources" in sent.path}
    assert sources - {"/dagSources/~"} == {f"/dagSources/{'token-of-' if world.legacy else ''}etl_a"}


async def test_a_file_is_not_shown_where_there_are_too_many_dags_to_tell_whose_it_is() -> None:
    world = World("3.3.2", [f"etl_{number}" for number in range(2001)])
    async with connected(world.airflow, DENY) as someone:
        assert "cannot be told" in await someone.refused("get_dag_source", dag_id="etl_1")
        assert "cannot be told" in await someone.refused("list_import_errors")
    assert not [sent for sent in world.airflow.sent if "Source" in sent.path or "Errors" in sent.path]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("mode", ERAS)
async def test_no_read_of_any_kind_shows_a_denied_dag(version: str, policy: str, mode: str) -> None:
    world = World(version, ("payroll_a", "etl_a", "etl_b"))
    tools = [tool for tool in READS if tool.entry.scope.dag]
    async with connected(world.airflow, POLICIES[policy], mode=mode) as someone:
        for tool in tools:
            for dag_id in ("payroll_a", "~", None):
                others: Json = {"import_error_id": 0, "xcom_key": "k", "timeout_seconds": 1}
                arguments = {**whole_call(tool), **{k: v for k, v in others.items() if _takes(tool.name, k)}}
                arguments = {name: value for name, value in arguments.items() if name not in ("state", "dry_run")}
                arguments |= {"fields": ["*"]} if tool.entry.record and not tool.entry.python else {}
                arguments = _naming(arguments, tool.name, dag_id)
                result = await someone.client.call_tool(tool.name, arguments)
                said = str(result.structured_content)
                assert "payroll" not in said, f"{tool.name} {arguments}"
    assert not [sent.line for sent in world.airflow.sent if "payroll" in sent.path]


def _takes(tool: str, argument: str) -> bool:
    return argument in {use.name for use in CATALOG.tools[tool].entry.params}


def _naming(arguments: Json, tool: str, dag_id: str | None) -> Json:
    """The arguments about this DAG, or without one."""
    rest = {name: value for name, value in arguments.items() if name != "dag_id"}
    return {**rest, "dag_id": dag_id} if dag_id and _takes(tool, "dag_id") else rest


@pytest.mark.parametrize("version", GENERATIONS)
async def test_no_log_is_read_that_could_be_any_dags(version: str) -> None:
    world = World(version, ("etl_a", "payroll_a"))
    async with connected(world.airflow, DENY) as someone:
        await someone.refused("read_task_log", dag_id="~", dag_run_id="r1", task_id="load")
    assert not [sent.line for sent in world.airflow.sent if "/logs/" in sent.path]


@pytest.mark.parametrize("tool", ["wait_for_dag_run", "read_task_log", "trigger_dag_run"])
@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_steps_of_a_workflow_are_decided_one_by_one(version: str, tool: str) -> None:
    """The workflow itself may be used on every DAG; what it reads may not be read of payroll."""
    world = World(version)
    reads = ["get_dag", "get_dag_run", "get_task_instance", "list_task_instances"]
    policy: Json = {"allow": [{"tools": ["@write"]}], "deny": [{"tools": reads, "dags": ["payroll_*"]}]}
    ids = {"dag_run_id": "r1", "task_id": "load"}
    async with connected(world.airflow, policy) as someone:
        arguments: Json = {"dag_id": "payroll_a"} | {name: ids[name] for name in ids if _takes(tool, name)}
        assert "not allowed" in await someone.refused(tool, **arguments)
        assert world.airflow.sent == []
        await someone.ask(tool, **{**arguments, "dag_id": "etl_a"})
    assert not [sent.line for sent in world.airflow.sent if "payroll" in sent.path]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("tool", ["get_dag", "list_dag_runs", "list_tasks", "read_task_log", "wait_for_dag_run"])
async def test_a_misspelt_dag_gets_no_denied_name_as_a_suggestion(version: str, policy: str, tool: str) -> None:
    world = World(version, ("etl_payroll", "payroll_etl", "etl_payrol1"))
    rules: Json = {"deny": [{"tools": ["*"], "dags": ["payroll_*", "*_payrol1"]}]}
    rules |= {"default": "none", "allow": [{"tools": ["@read"]}]} if policy == "default none" else {}
    async with connected(world.airflow, rules) as someone:
        arguments = {name: value for name, value in whole_call(CATALOG.tools[tool]).items() if name != "state"}
        sentence = await someone.refused(tool, **{**arguments, "dag_id": "etl_payroll1"})
    assert "Did you mean etl_payroll?" in sentence
    assert "payroll_etl" not in sentence


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_misspelt_pool_gets_no_denied_name_as_a_suggestion(version: str) -> None:
    world = World(version, pools=("small", "smalls"))
    async with connected(world.airflow, {"deny": [{"tools": ["*"], "pools": ["smalls"]}]}) as someone:
        assert [row["name"] for row in table(await someone.ask("list_pools"))] == ["small"]
        sentence = await someone.refused("get_pool", pool_name="smal")
    assert "small" in sentence
    assert "smalls" not in sentence


@pytest.mark.parametrize("version", GENERATIONS)
async def test_without_a_rule_about_dags_nothing_is_hidden_and_totals_stay(version: str) -> None:
    world = World(version, MIXED)
    async with connected(world.airflow, {"deny": [{"tools": ["get_dag_source"]}]}) as someone:
        for tool, arguments in LISTS.items():
            answer = await someone.ask(tool, **arguments)
            assert answer["total"] == len(answer["rows"]) >= len(MIXED)
