"""find_tools shows what this caller may call, as a list would, within its budget, and says what it left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_mcp.catalog.loader import load_catalog
from tests.permissions.support import Json, connected
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS, Assistant, assistant, calls_of, text_of
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
EVERYTHING = ("*", "@admin")
QUERIES = ("list pools", "clear task instances", "trigger a dag run", "task log", "delete a dag", "why")


def names_of(answer: Json) -> list[str]:
    """The tools of an answer, best first."""
    return [line.partition(" ")[0] for line in answer["tools"]]


async def schemas_of(someone: Assistant) -> dict[str, Any]:
    """Every tool's arguments as they are listed."""
    return {tool.name: tool.input_schema for tool in (await someone.client.list_tools()).tools}


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_arguments_shown_are_those_that_are_listed(version: str, mode: str) -> None:
    async with assistant(FakeAirflow(version), mode=mode, allow=EVERYTHING, toolsets=("all",)) as someone:
        listed = await schemas_of(someone)
        for query in QUERIES:
            answer = await someone.ask("find_tools", query=query)
            assert answer["schemas"]
            for name, schema in answer["schemas"].items():
                assert schema == listed[name]


async def test_the_arguments_shown_have_the_plan_and_the_airflow_that_the_list_has() -> None:
    places = {"staging": World("2.11.2").airflow, "prod": World("3.3.2").airflow}
    rules: Json = {"allow": [{"tools": ["clear_*", "pause_dag"]}]}
    async with connected(places, rules, allow=("clear_dag_run", "pause_dag")) as someone:
        listed = await schemas_of(someone)
        found = await someone.ask("find_tools", query="clear dag run")
        paused = await someone.ask("find_tools", query="pause dag")
    assert found["schemas"]["clear_dag_run"] == listed["clear_dag_run"]
    assert {"instance", "plan"} <= found["schemas"]["clear_dag_run"]["properties"].keys()
    assert paused["schemas"]["pause_dag"] == listed["pause_dag"]
    assert "plan" not in paused["schemas"]["pause_dag"]["properties"]


async def test_of_several_airflows_all_are_searched_or_the_one_that_is_named() -> None:
    places = {"old": World("2.11.2").airflow, "new": World("3.3.2").airflow}
    rules: Json = {"allow": [{"tools": ["pause_dag"], "instances": ["old"]}]}
    async with connected(places, rules) as someone:
        everywhere = await someone.ask("find_tools", query="dag tags in use")
        old = await someone.ask("find_tools", query="dag tags in use", instance="old")
        new = await someone.ask("find_tools", query="pause dag", instance="new")
        assert names_of(await someone.ask("find_tools", query="pause dag"))[0] == "pause_dag"
    assert "instance" not in everywhere
    assert names_of(everywhere)[0] == "list_dag_tags"
    assert (old["instance"], old["not_here"]["list_dag_tags"]) == ("old", "needs Airflow 3.0 or newer")
    assert (new["instance"], new["not_here"]["pause_dag"]) == ("new", "write, and policy does not allow it")


async def test_a_denial_on_one_airflow_leaves_the_search_of_the_others() -> None:
    places = {"prod": World().airflow, "staging": World().airflow}
    rules: Json = {"deny": [{"tools": ["find_tools"], "instances": ["prod"]}]}
    async with connected(places, rules) as someone:
        assert names_of(await someone.ask("find_tools", query="list pools"))[0] == "list_pools"
        assert "not allowed" in await someone.refused("find_tools", query="list pools", instance="prod")


@pytest.mark.parametrize("toolsets", [(), ("pools",), ("find_tools",)])
async def test_tools_are_found_whatever_is_listed(toolsets: tuple[str, ...]) -> None:
    async with assistant(FakeAirflow(), toolsets=(*toolsets, *(("toolbox",) if toolsets else ()))) as someone:
        answer = await someone.ask("find_tools", query="installed provider packages")
        assert names_of(answer)[0] == "list_providers"
        assert "list_providers" not in await someone.tools()


async def test_only_what_policy_allows_is_found_and_the_better_match_is_told() -> None:
    async with connected(World().airflow, {"deny": [{"tools": ["list_pools"]}]}) as someone:
        answer = await someone.ask("find_tools", query="list pools")
        other = await someone.ask("find_tools", query="task log")
    assert "list_pools" not in names_of(answer)
    assert "list_pools" not in answer["schemas"]
    assert answer["not_here"]["list_pools"] == "read, and policy does not allow it"
    assert "not_here" not in other
    assert not {"delete_dag", "pause_dag"} & set(names_of(other))


async def test_a_query_without_a_hit_says_what_to_try() -> None:
    async with assistant(FakeAirflow()) as someone:
        for query in ("zzzz", "???", "日本", '"', "a' OR 1=1 --"):
            answer = await someone.ask("find_tools", query=query)
            if not answer["tools"]:
                assert "There are tools about" in answer["hint"]
                assert "task_instances" in answer["hint"]
        assert (await someone.ask("find_tools", query="zzzz"))["tools"] == []


@pytest.mark.parametrize(
    "query",
    ['"pools"', "pools*", "NEAR(pools, 2)", "name:pools AND NOT x", "pools OR", "^pools (", "POOLS"],
)
async def test_a_query_is_words_and_never_a_language(query: str) -> None:
    async with assistant(FakeAirflow()) as someone:
        assert "list_pools" in names_of(await someone.ask("find_tools", query=query))


async def test_a_query_is_required_and_may_be_long() -> None:
    async with assistant(FakeAirflow()) as someone:
        assert "query is required" in await someone.refused("find_tools")
        assert "must not be empty" in await someone.refused("find_tools", query="")
        assert (await someone.ask("find_tools", query="list pools " + "x" * 10_000 + " y" * 10_000))["tools"]


@pytest.mark.parametrize("max_chars", [400, 700, 1500, 4000, 20_000])
@pytest.mark.parametrize("query", QUERIES)
async def test_an_answer_keeps_to_its_budget_and_says_what_it_left_out(query: str, max_chars: int) -> None:
    async with assistant(FakeAirflow(), allow=EVERYTHING) as someone:
        result = await someone.client.call_tool("find_tools", {"query": query, "max_chars": max_chars})
        answer = result.structured_content or {}
        assert len(text_of(result)) <= max_chars
        assert answer["tools"]
        best = names_of(answer)[:3]
        left: Json = answer.get("left_out", {})
        if max_chars >= 1500:
            assert set(best) == {*answer["schemas"], *left.get("schemas", [])}
        if "schemas" in left and "more" in answer:
            more = await someone.ask("find_tools", query=query, **answer["more"])
            assert len(more.get("schemas", {})) > len(answer.get("schemas", {}))


async def test_by_default_an_answer_has_at_most_4000_characters() -> None:
    async with assistant(FakeAirflow(), allow=EVERYTHING) as someone:
        for query in QUERIES:
            assert len(json.dumps(await someone.ask("find_tools", query=query), separators=(",", ":"))) <= 4000


async def test_what_is_found_can_be_run_as_the_answer_says() -> None:
    airflow = FakeAirflow().on("GET", "/providers", {"providers": [], "total_entries": 0})
    async with assistant(airflow) as someone:
        answer = await someone.ask("find_tools", query="installed provider packages")
        ((tool, arguments),) = calls_of(answer)
        assert (tool, arguments) == ("call_tool", {"tool": names_of(answer)[0]})
        assert (await someone.ask(tool, **arguments))["total"] == 0
    assert airflow.lines() == ["GET /providers"]


async def test_the_tools_that_find_and_run_others_do_not_find_themselves() -> None:
    async with assistant(FakeAirflow(), allow=EVERYTHING) as someone:
        answer = await someone.ask("find_tools", query="find tools, call tool, call changing tool")
    assert not {"find_tools", "call_tool", "call_changing_tool"} & set(names_of(answer))
