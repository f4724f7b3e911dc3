"""Only what the operator allowed can change Airflow, whether it is listed or called by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.errors import SettingsError
from airflow_mcp.policy.rules import parse_policy
from tests.unit.assistant import ERAS, GENERATIONS, assistant
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.manifests import write_manifests
from tests.unit.test_ids import arguments_of

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
CHANGING = [tool for tool in CATALOG.tools.values() if tool.entry.access != "read" and not tool.entry.forwards]
NAMES = {
    access: {t.name for t in CHANGING if t.entry.access == access and not t.is_vehicle}
    for access in ("write", "destructive", "admin")
}
# What is only another way to what other tools do, by the class of these.
BULK = {"bulk_pools", "bulk_variables", "bulk_connections", "bulk_dag_runs", "bulk_task_instances"}
WAYS = {
    "write": {*BULK, "pause_dags", "unpause_dags", "trigger_and_wait", "plan_recovery"},
    "destructive": {*BULK, "plan_recovery"},
}


async def allowed_in(folder: Path, *allow: str) -> set[str]:
    """The tools of the small catalog, which has an admin tool, that can be called under these entries."""
    lists = {"things": [], "people": [], "total_entries": 0}
    airflow = FakeAirflow().otherwise(lambda sent: lists if sent.method == "GET" else {})
    able: set[str] = set()
    catalog = load_catalog(write_manifests(folder / "manifests"))
    async with assistant(airflow, allow=allow, catalog=catalog) as someone:
        for tool in catalog.tools.values():
            arguments = {"thing_id": "it"} if any(use.name == "thing_id" for use in tool.entry.params) else {}
            sent = len(airflow.sent)
            result = await someone.client.call_tool(tool.name, arguments)
            assert (len(airflow.sent) > sent) is not result.is_error, tool.name
            able |= set() if result.is_error else {tool.name}
    return able


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("toolsets", [(), ("all",)])
async def test_nothing_that_changes_airflow_is_listed_by_default(mode: str, toolsets: tuple[str, ...]) -> None:
    async with assistant(FakeAirflow(), mode=mode, toolsets=toolsets) as someone:
        listed = await someone.tools()
    assert "list_dags" in listed
    assert {name for name in listed if CATALOG.tools[name].entry.access != "read"} == set()


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("mode", ERAS)
async def test_no_change_leaves_by_default_though_it_is_called_by_name(mode: str, version: str) -> None:
    airflow = FakeAirflow(version).otherwise({})
    ids = {"dag_id": "etl", "dag_run_id": "r", "task_id": "t", "pool_name": "small", "is_paused": True}
    async with assistant(airflow, mode=mode) as someone:
        for tool in CHANGING:
            names = {use.name for use in tool.entry.params}
            arguments = arguments_of(tool, {name: value for name, value in ids.items() if name in names})
            sentence = await someone.refused(tool.name, **arguments)
            assert "AIRFLOW_MCP_ALLOW" in sentence
            assert "@" not in sentence, "a class is wider than what was asked for"
            if not tool.is_vehicle:
                assert f"adding {tool.name} to" in sentence
    assert airflow.seen == []


async def test_the_steps_of_a_workflow_cannot_be_called_by_name() -> None:
    airflow = FakeAirflow().otherwise({})
    steps = [name for name, tool in CATALOG.operations.items() if tool.entry.part_of]
    async with assistant(airflow, allow=("*", "@write", "@destructive", "@admin")) as someone:
        listed = await someone.tools()
        for name in steps:
            with pytest.raises(MCPError) as refusal:
                await someone.client.call_tool(name, {"dag_id": "etl", "dag_run_id": "r"})
            assert refusal.value.error.code == -32602
    assert steps
    assert not set(steps) & set(listed)
    assert airflow.sent == []


@pytest.mark.parametrize(
    ("allow", "expected"),
    [
        (("pause_dag",), {"pause_dag", "pause_dags"}),
        (("*_pool",), {"create_pool", "update_pool", "delete_pool", "bulk_pools"}),
        (("pause_*",), {"pause_dag", "pause_dags", "pause_backfill"}),
        (("delete_dag_run",), {"delete_dag_run", "bulk_dag_runs"}),
        (("trigger_dag_run",), {"trigger_dag_run", "trigger_and_wait"}),
        (("create_backfill",), {"create_backfill", "plan_recovery"}),
        (("@write",), NAMES["write"] | WAYS["write"]),
        (("@destructive",), NAMES["destructive"] | WAYS["destructive"]),
        (("@write", "@destructive"), NAMES["write"] | NAMES["destructive"] | WAYS["write"]),
        (("*",), NAMES["write"] | NAMES["destructive"] | WAYS["write"]),
        (("@admin",), NAMES["admin"]),
        (("@access",), NAMES["admin"]),
        (("*", "@admin"), NAMES["write"] | NAMES["destructive"] | NAMES["admin"] | WAYS["write"]),
        (("@secret",), set()),
        (("list_*",), set()),
    ],
)
async def test_an_entry_allows_what_it_names_and_nothing_else(allow: tuple[str, ...], expected: set[str]) -> None:
    async with assistant(FakeAirflow(), allow=allow, toolsets=("all",)) as someone:
        listed = set(await someone.tools())
    assert listed & {tool.name for tool in CHANGING} == expected
    assert ("call_changing_tool" in listed) is bool(expected)


async def test_an_allowed_change_reaches_airflow() -> None:
    airflow = FakeAirflow().on("PATCH", "/dags/etl", {"dag_id": "etl", "is_paused": True})
    async with assistant(airflow, allow=("pause_dag",)) as someone:
        await someone.ask("pause_dag", dag_id="etl")
        assert "not allowed" in await someone.refused("unpause_dag", dag_id="etl")
    assert airflow.lines() == ["PATCH /dags/etl"]


READS = {"list_things", "get_thing", "list_people"}


@pytest.mark.parametrize(
    ("allow", "expected"),
    [
        ((), set[str]()),
        (("*",), {"paint_thing", "delete_thing"}),
        (("create_*", "*_person", "@write", "@destructive"), {"paint_thing", "delete_thing"}),
        (("create_person",), {"create_person"}),
        (("@admin",), {"create_person"}),
        (("*", "@admin"), {"paint_thing", "delete_thing", "create_person"}),
    ],
)
async def test_no_glob_reaches_a_tool_that_makes_administrators(
    tmp_path: Path, allow: tuple[str, ...], expected: set[str]
) -> None:
    unmatched = {"create_*", "*_person"}  # they match no tool a glob may reach, so that they end the start
    if unmatched & set(allow):
        catalog = load_catalog(write_manifests(tmp_path / "manifests"))
        for entry in unmatched:
            with pytest.raises(SettingsError, match="matches no tool"):
                parse_policy([entry], catalog)
    assert await allowed_in(tmp_path, *(entry for entry in allow if entry not in unmatched)) == expected | READS


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("pause_dgs", "Did you mean pause_dag"),
        ("@writes", "Did you mean @write"),
        ("PAUSE_DAG", "matches no tool"),
        ("nothing_like_it*", "`airflow-mcp tools` lists every tool"),
        ("post_dag_run", "matches no tool"),
    ],
)
def test_an_entry_that_matches_nothing_ends_the_start_with_near_names(entry: str, words: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse_policy(["list_dags", entry], CATALOG)
    assert f"AIRFLOW_MCP_ALLOW: {entry!r} matches no tool." in str(refusal.value)
    assert words in str(refusal.value)


async def test_a_tool_that_is_allowed_by_name_is_listed_though_its_toolset_is_not() -> None:
    async with assistant(FakeAirflow(), toolsets=("pools",), allow=("pause_dag", "delete_d*")) as someone:
        listed = await someone.tools()
    assert "pause_dag" in listed
    assert "delete_dag" not in listed
    assert {CATALOG.tools[name].toolset for name in listed} == {"pools", "dags"}


async def test_a_tool_outside_the_toolsets_runs_where_policy_allows_it() -> None:
    airflow = FakeAirflow().otherwise({"dag_id": "etl", "is_paused": True})
    async with assistant(airflow, toolsets=("pools",), allow=("@write",)) as someone:
        assert "pause_dag" not in await someone.tools()
        assert (await someone.ask("pause_dag", dag_id="etl"))["is_paused"] is True
        assert (await someone.ask("get_dag", dag_id="etl"))["dag_id"] == "etl"


async def test_reads_are_listed_before_changes_and_always_in_the_same_order() -> None:
    async with assistant(FakeAirflow(), allow=("*",), toolsets=("all",)) as someone:
        first, second = await someone.tools(), await someone.tools()
    reads = [CATALOG.tools[name].entry.access == "read" for name in first]
    assert reads == sorted(reads, reverse=True)
    assert first == second


@pytest.mark.parametrize(("toolsets", "near"), [("pool", "pools"), ("zzz", "all")])
def test_a_toolset_that_does_not_exist_ends_the_start(toolsets: str, near: str) -> None:
    with pytest.raises(SettingsError, match=f"AIRFLOW_MCP_TOOLSETS: '{toolsets}' is no toolset.*{near}"):
        parse_toolsets([toolsets], CATALOG)


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(("name", "near"), [("list_dag", "list_dags"), ("x" * 5000, "Unknown tool"), ("", "Unknown")])
async def test_an_unknown_tool_is_a_protocol_error_with_the_near_name(mode: str, name: str, near: str) -> None:
    airflow = FakeAirflow()
    async with assistant(airflow, mode=mode) as someone:
        with pytest.raises(MCPError) as refusal:
            await someone.client.call_tool(name, {})
    assert refusal.value.error.code == -32602
    assert near in refusal.value.error.message
    assert len(refusal.value.error.message) < 300
    assert airflow.sent == []


@pytest.mark.parametrize(("allow", "shown"), [((), "***"), (("@secret",), "hunter2-of-prod"), (("*",), "***")])
async def test_secrets_are_shown_only_where_the_operator_says_secret(allow: tuple[str, ...], shown: str) -> None:
    row: dict[str, Any] = {"dag_id": "etl", "dag_run_id": "r", "task_id": "t", "key": "k", "map_index": -1}
    airflow = FakeAirflow().otherwise({**row, "value": {"password": "hunter2-of-prod"}})
    async with assistant(airflow, allow=allow) as someone:
        answer = await someone.ask("get_xcom", dag_id="etl", dag_run_id="r", task_id="t", xcom_key="k")
    assert answer["value"] == {"password": shown}
