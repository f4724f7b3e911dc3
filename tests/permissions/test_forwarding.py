"""A call through call_tool or call_changing_tool is the direct call: decided, confirmed and written down alike."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from mcp.types import CallToolResult

from airflow_mcp.catalog.loader import Tool
from airflow_mcp.errors import SettingsError
from airflow_mcp.policy.rules import parse_policy
from tests.permissions.support import CATALOG, CHANGING, NO_PAYROLL, Json, changes, connected, patient, talking_to
from tests.permissions.test_human import YES, Person
from tests.permissions.test_lessons import reading
from tests.permissions.test_sent_is_decided import POLICIES, accept, changing_calls
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS, Assistant, text_of
from tests.unit.test_run_wait import running

pytestmark = pytest.mark.anyio
READS = [tool for tool in CATALOG.tools.values() if tool.entry.access == "read" and not tool.entry.forwards]
WAYS = ("call_tool", "call_changing_tool")
ALL: Json = {"allow": [{"tools": ["*"], "confirm": "never"}], "deny": [NO_PAYROLL]}
CLEAR: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "dry_run": False}


# A plan, the moment of the call and the name of a new run, which are others each time.
EACH_TIME = re.compile(r'"plan":"[^"]*"|\d\d:\d\d:\d\d(?:\.\d+)?Z|mcp__\w+')


def seen_of(result: CallToolResult) -> tuple[bool, str]:
    """What a caller sees of it, but for what is another each time."""
    return bool(result.is_error), EACH_TIME.sub("…", text_of(result))


async def changed(someone: Assistant, tool: str, /, **arguments: Any) -> Json:
    """The answer of a change that works."""
    return await someone.ask("call_changing_tool", tool=tool, arguments=arguments)


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_change_that_is_run_by_another_tool_is_answered_and_sent_as_if_it_were_called(
    version: str, policy: str
) -> None:
    one, other, done = World(version), World(version), Counter[bool]()
    with (
        talking_to(one.airflow, POLICIES[policy], human=accept) as call,
        talking_to(other.airflow, POLICIES[policy], human=accept) as call_other,
    ):

        @patient(80)
        @given(changing_calls())
        def compare(case: tuple[Tool, Json]) -> None:
            tool, arguments = case
            for world in (one, other):
                world.airflow.seen.clear()
            with contextlib.suppress(UnicodeEncodeError):  # half a surrogate pair does not leave the client
                direct = call(tool.name, **arguments)
                through = call_other("call_changing_tool", tool=tool.name, arguments=arguments)
                assert seen_of(through) == seen_of(direct)
                assert other.airflow.lines() == one.airflow.lines()
                done[direct.is_error] += 1

        compare()
    assert min(done[True], done[False]) > 5, done


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_read_that_is_run_by_another_tool_is_answered_as_if_it_were_called(version: str) -> None:
    policy: Json = {"deny": [NO_PAYROLL]}
    async with connected(World(version).airflow, policy) as one, connected(World(version).airflow, policy) as other:
        for tool in READS:
            arguments = reading(tool.name)
            direct = await one.client.call_tool(tool.name, arguments)
            through = await other.client.call_tool("call_tool", {"tool": tool.name, "arguments": arguments})
            assert seen_of(through) == seen_of(direct), tool.name


async def test_what_changes_is_not_run_as_a_read_nor_a_read_as_a_change() -> None:
    world = World()
    async with connected(world.airflow, ALL) as someone:
        for tool in CHANGING:
            sentence = await someone.refused("call_tool", tool=tool.name, arguments={})
            assert f"{tool.name} changes something: run it by call_changing_tool" in sentence
        for tool in READS:
            sentence = await someone.refused("call_changing_tool", tool=tool.name, arguments={})
            assert f"{tool.name} only reads: run it by call_tool" in sentence
    assert world.airflow.seen == []


WRONG: list[tuple[Json, str]] = [
    ({}, "tool is required"),
    ({"tool": 3}, "tool is required"),
    ({"tool": "get_dag", "arguments": '{"dag_id":"etl_a"'}, "arguments must be an object"),
    ({"tool": "get_dag", "arguments": ["etl_a"]}, "arguments must be an object"),
    ({"tool": "get_dag", "dag_id": "etl_a"}, "dag_id must stand in `arguments`"),
    ({"tool": "get_dag", "instance": "prod", "plan": "x"}, "instance, plan must stand in `arguments`"),
    ({"tool": "get_dags"}, "Did you mean get_dag or"),
    ({"tool": "post_dag_run"}, "Unknown tool: post_dag_run"),
    ({"tool": "call_tool", "arguments": {"tool": "get_version"}}, "call_tool runs other tools: name the tool itself"),
    ({"tool": "call_changing_tool"}, "call_changing_tool runs other tools"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("arguments", "words"), WRONG)
async def test_a_call_that_names_no_tool_it_could_run_is_refused_with_what_to_do(
    way: str, arguments: Json, words: str
) -> None:
    world = World()
    async with connected(world.airflow, ALL) as someone:
        sentence = await someone.refused(way, **arguments)
    assert words in sentence
    assert sentence.startswith(f"{way}: ")
    assert len(sentence) < 300
    assert world.airflow.seen == []


DENIED: list[tuple[str, str, Json]] = [
    ("call_tool", "get_dag", {"tools": ["call_tool"]}),
    ("call_tool", "get_dag", {"tools": ["call_*"]}),
    ("call_tool", "get_dag", {"tools": ["toolbox"]}),
    ("call_changing_tool", "pause_dag", {"tools": ["call_changing_tool"]}),
    ("call_changing_tool", "pause_dag", {"tools": ["*_changing_tool"], "callers": ["local"]}),
    ("call_changing_tool", "pause_dag", {"tools": ["call_changing_tool"], "instances": ["default"]}),
]


@pytest.mark.parametrize(("way", "tool", "deny"), DENIED)
async def test_a_rule_may_deny_the_way_and_leave_the_tools_themselves(way: str, tool: str, deny: Json) -> None:
    world = World()
    async with connected(world.airflow, {**ALL, "deny": [deny]}) as someone:
        assert way not in await someone.tools()
        sentence = await someone.refused(way, tool=tool, arguments={"dag_id": "etl_a"})
        assert f"{way} is not allowed here" in sentence
        assert "deny rule 1" in sentence
        assert world.airflow.sent == []
        await someone.ask(tool, dag_id="etl_a")


async def test_a_denied_class_is_denied_by_way_of_another_tool_and_no_other_class_is() -> None:
    world = World()
    async with connected(world.airflow, {**ALL, "deny": [{"tools": ["@destructive"]}]}) as someone:
        assert "call_changing_tool" in await someone.tools()
        await changed(someone, "pause_dag", dag_id="etl_a")
        sentence = await someone.refused("call_changing_tool", tool="delete_dag", arguments={"dag_id": "etl_a"})
    assert sentence.startswith("delete_dag is not allowed here")
    assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize(
    ("policy", "listed"),
    [
        ({}, {"call_tool", "find_tools"}),
        ({"allow": [{"tools": ["list_dags"]}]}, {"call_tool", "find_tools"}),
        ({"allow": [{"tools": ["pause_dag"], "dags": ["etl_*"]}]}, {"call_tool", "find_tools", "call_changing_tool"}),
        ({"allow": [{"tools": ["pause_dag"], "callers": ["ann"]}]}, {"call_tool", "find_tools"}),
        ({"default": "none"}, set()),
        ({"default": "none", "allow": [{"tools": ["get_dag"]}]}, {"call_tool"}),
        ({"default": "none", "allow": [{"tools": ["pause_dag"]}]}, {"call_changing_tool"}),
        ({"deny": [{"tools": ["@read"]}]}, set()),
        ({"deny": [{"tools": ["find_tools"]}]}, {"call_tool"}),
    ],
)
async def test_a_way_is_listed_where_something_could_go_it(policy: Json, listed: set[str]) -> None:
    async with connected(World().airflow, policy) as someone:
        assert set(await someone.tools()) & {*WAYS, "find_tools"} == listed


@pytest.mark.parametrize("way", WAYS)
def test_a_rule_that_would_allow_the_way_itself_ends_the_start(way: str) -> None:
    with pytest.raises(SettingsError, match=f"{way} has no permission of its own"):
        parse_policy([way], CATALOG)


@pytest.mark.parametrize("mode", ERAS)
async def test_hosts_are_told_that_one_way_reads_and_the_other_may_destroy(mode: str) -> None:
    async with connected(World().airflow, ALL, mode=mode) as someone:
        listed = {tool.name: tool.annotations for tool in (await someone.client.list_tools()).tools}
    reading, changing = listed["call_tool"], listed["call_changing_tool"]
    assert reading is not None
    assert changing is not None
    assert reading.read_only_hint is True
    assert (changing.read_only_hint, changing.destructive_hint) == (False, True)


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_plan_goes_among_the_inner_arguments_and_works_once(version: str, mode: str) -> None:
    world = World(version)
    async with connected(world.airflow, {"allow": [{"tools": ["*"], "confirm": "plan"}]}, mode=mode) as someone:
        answer = await changed(someone, "clear_dag_run", **CLEAR)
        assert answer.keys() - {"next"} == {"preview", "plan", "hint"}
        assert changes(world.airflow) == []
        again: Json = {"tool": "clear_dag_run", "arguments": {**CLEAR, "plan": answer["plan"]}}
        assert "must stand in `arguments`" in await someone.refused(
            "call_changing_tool", tool="clear_dag_run", arguments=CLEAR, plan=answer["plan"]
        )
        await someone.ask("call_changing_tool", **again)
        assert "once" in await someone.refused("call_changing_tool", **again)
        assert "once" in await someone.refused("clear_dag_run", **CLEAR, plan=answer["plan"])
    assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("mode", ERAS)
async def test_a_human_is_asked_about_the_tool_that_is_run(mode: str) -> None:
    world = World()
    person = Person(world, YES)
    policy: Json = {"allow": [{"tools": ["*"], "confirm": "human"}]}
    async with connected(world.airflow, policy, mode=mode, human=person) as someone:
        await changed(someone, "delete_dag", dag_id="etl_a")
    (question,) = person.questions
    assert question.startswith("Delete a DAG: ")
    assert len(changes(world.airflow)) == 1


async def test_a_cap_and_a_rate_count_whichever_way_a_call_comes() -> None:
    world = World()
    rules: Json = {"allow": [{"tools": ["*"], "confirm": "never", "max_affected": 1}], "per_minute": {"write": 2}}
    world.affected = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "more", "map_index": -1}]
    async with connected(world.airflow, rules) as someone:
        assert "max_affected" in await someone.refused("call_changing_tool", tool="clear_dag_run", arguments=CLEAR)
        await changed(someone, "pause_dag", dag_id="etl_a")
        await someone.ask("pause_dag", dag_id="etl_a")
        assert "minute" in await someone.refused("call_changing_tool", tool="pause_dag", arguments={"dag_id": "etl_a"})
    assert len(changes(world.airflow)) == 2


@pytest.mark.parametrize("mode", ERAS)
async def test_progress_reaches_whoever_called(mode: str) -> None:
    told: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    waiting: Json = {
        "tool": "wait_for_dag_run",
        "arguments": {"dag_id": "etl", "dag_run_id": "r", "timeout_seconds": 20},
    }
    async with connected(running("3.3.2", "running", "success"), mode=mode) as someone:
        result = await someone.client.call_tool("call_tool", waiting, progress_callback=progress)
    assert (result.structured_content or {})["finished"] is True
    assert any("running" in (message or "") for message in told)


async def test_the_trail_names_the_tool_that_was_run_and_the_way_it_came(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    async with connected(World().airflow, ALL, audit=str(trail)) as someone:
        await someone.ask("call_tool", tool="get_dag", arguments={"dag_id": "etl_a"})
        await changed(someone, "pause_dag", dag_id="etl_a")
        await someone.refused("call_tool", tool="get_dag", arguments={"dag_id": "payroll_a"})
        await someone.refused("call_tool", tool="no_such_tool")
        await someone.ask("get_dag", dag_id="etl_a")
    lines = [json.loads(line) for line in trail.read_text(encoding="utf-8").splitlines()]
    assert [(line["phase"], line["tool"], line.get("through")) for line in lines] == [
        ("ends", "get_dag", "call_tool"),
        ("begins", "pause_dag", "call_changing_tool"),
        ("ends", "pause_dag", "call_changing_tool"),
        ("ends", "get_dag", "call_tool"),
        ("ends", "call_tool", None),
        ("ends", "get_dag", None),
    ]
    assert lines[0]["arguments"] == {"dag_id": "etl_a"}
    assert (lines[0]["class"], lines[1]["class"]) == ("read", "write")
    assert "deny rule 1" in lines[3]["rule"]
    assert "Unknown tool" in lines[4]["error"]


SECRET = "hunter2-of-prod"
STORED: Json = {"variable_key": "plain_name", "value": SECRET}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("call_changing_tool", {"tool": "create_variable", "arguments": STORED}),
        ("call_tool", {"tool": "create_variable", "arguments": STORED}),
        ("call_tool", {"tool": "no_such_tool", "arguments": STORED}),
        ("call_tool", {"tool": ["create_variable"], "arguments": STORED}),
        ("call_tool", {"tool": "create_variable", "arguments": json.dumps(STORED)}),
        ("call_changing_tool", {"tool": "call_tool", "arguments": {"tool": "create_variable", "arguments": STORED}}),
        ("explain_permission", {"tool": "create_variable", "arguments": STORED}),
    ],
)
async def test_the_trail_masks_what_is_secret_for_the_tool_that_is_run_or_asked_about(
    tmp_path: Path, tool: str, arguments: Json
) -> None:
    trail = tmp_path / "audit.jsonl"
    async with connected(World().airflow, audit=str(trail)) as someone:
        await someone.client.call_tool(tool, arguments)
    text = trail.read_text(encoding="utf-8")
    assert "create_variable" in text or "no_such_tool" in text
    assert SECRET not in text


async def test_with_several_airflows_the_inner_arguments_name_one_and_its_rules_hold() -> None:
    worlds = {"staging": World("2.11.2"), "prod": World("3.3.2")}
    policy: Json = {
        "allow": [{"tools": ["@write"], "confirm": "never"}],
        "deny": [{"tools": ["call_changing_tool"], "instances": ["prod"]}],
    }
    async with connected({name: world.airflow for name, world in worlds.items()}, policy) as someone:
        assert (await someone.ask("call_tool", tool="get_dag", arguments={"dag_id": "etl_a"}))["instance"] == "staging"
        there: Json = {"dag_id": "etl_a", "instance": "prod"}
        assert (await someone.ask("call_tool", tool="get_dag", arguments=there))["instance"] == "prod"
        assert set((await someone.ask("call_tool", tool="health_report"))["instances"]) == {"staging", "prod"}
        sentence = await someone.refused("call_changing_tool", tool="pause_dag", arguments={"dag_id": "etl_a"})
        assert sentence == "pause_dag: instance is required for what changes something; one of staging, prod."
        assert "call_changing_tool is not allowed" in await someone.refused(
            "call_changing_tool", tool="pause_dag", arguments=there
        )
        assert (await changed(someone, "pause_dag", dag_id="etl_a", instance="staging"))["instance"] == "staging"
    assert [len(changes(world.airflow)) for world in worlds.values()] == [1, 0]


@pytest.mark.parametrize(
    ("policy", "way", "verdict", "words"),
    [
        ({}, "call_tool", "allowed", "no permission of its own"),
        ({}, "call_changing_tool", "denied", "no tool that it could run is allowed"),
        ({"allow": [{"tools": ["pause_dag"]}]}, "call_changing_tool", "allowed", "ask about that tool"),
        ({"deny": [{"tools": ["call_tool"]}]}, "call_tool", "denied", "no permission lifts a denial"),
    ],
)
async def test_an_explanation_says_that_a_way_has_no_permission_of_its_own(
    policy: Json, way: str, verdict: str, words: str
) -> None:
    async with connected(World().airflow, policy) as someone:
        told = await someone.ask("explain_permission", tool=way)
    assert (told["tool"], told["verdict"]) == (way, verdict)
    assert words in str(told)
