"""The manifests are linted like code: what the grammar cannot refuse, a reviewer should not have to look for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

from airflow_mcp.catalog.grammar import Record
from airflow_mcp.catalog.loader import Tool, load_catalog
from airflow_mcp.catalog.read_back import ReadBack
from airflow_mcp.catalog.schema import build_input_schema
from airflow_mcp.catalog.versions import EVERYWHERE, Since
from airflow_mcp.workflows import load_workflows
from tests.referee.excused import READS_BY_POST

CATALOG = load_catalog()
TOOLS = list(CATALOG.tools.values())
OPERATIONS = list(CATALOG.operations.values())
LONGEST_SUMMARY = 160  # characters: every one is paid for in each conversation
every_tool = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
every_operation = pytest.mark.parametrize("tool", OPERATIONS, ids=lambda tool: tool.name)
every_record = pytest.mark.parametrize(("name", "record"), CATALOG.records.items(), ids=CATALOG.records)


def values_of(tool: Tool) -> Iterator[str]:
    """Names of the values an entry sends by itself."""
    for values in (tool.entry.default, tool.entry.const):
        yield from [*values.both, *values.v1, *values.v2]


def earlier(since: Since, limit: Since) -> bool:
    """Whether a mark promises something for a version that the limit excludes."""
    pairs = ((since.v1, limit.v1), (since.v2, limit.v2))
    return any(mark and bound and mark < bound for mark, bound in pairs)


@every_tool
def test_a_title_is_a_headline_and_a_summary_is_sentences(tool: Tool) -> None:
    title, summary = tool.entry.title, tool.entry.summary
    assert title[0].isupper(), title
    assert not title.endswith("."), title
    assert summary[0].isupper(), summary
    assert summary.endswith("."), summary
    assert len(summary) <= LONGEST_SUMMARY, f"{len(summary)} characters: {summary}"


def test_no_two_tools_have_the_same_title() -> None:
    titles = [tool.entry.title for tool in TOOLS]
    assert sorted(set(titles)) == sorted(titles)


@every_tool
def test_a_deletion_or_a_clear_is_classed_destructive_and_a_list_or_get_a_read(tool: Tool) -> None:
    verb = tool.name.split("_")[0]
    expected = {"delete": {"destructive", "admin"}, "clear": {"destructive"}, "list": {"read"}, "get": {"read"}}
    assert tool.entry.access in expected.get(verb, {"read", "write", "destructive", "admin"})


@every_operation
def test_a_read_sends_get_and_a_change_sends_anything_else(tool: Tool) -> None:
    methods = {route.method for route in (tool.entry.v1, tool.entry.v2) if route}
    if tool.name in READS_BY_POST:
        assert methods <= {"POST", "PATCH"}
    elif tool.entry.access == "read":
        assert methods <= {"GET"}
    else:
        assert "GET" not in methods


@every_operation
def test_an_argument_comes_once_and_the_page_last(tool: Tool) -> None:
    names = [use.name for use in tool.entry.params]
    assert len(set(names)) == len(names)
    assert names[-2:] == ["limit", "offset"] or not {"limit", "offset"} & set(names)


@every_operation
def test_no_argument_is_said_to_exist_before_its_tool(tool: Tool) -> None:
    for use in tool.entry.params:
        assert use.required or not earlier(use.since, tool.entry.since) or use.since == EVERYWHERE, use.name


@every_tool
def test_the_schema_of_the_arguments_is_json_schema_and_closed(tool: Tool) -> None:
    schema = build_input_schema(tool, CATALOG)
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False


@every_operation
def test_every_id_in_a_path_is_a_required_argument_unless_it_is_looked_up_or_bracketed(tool: Tool) -> None:
    required = {use.name for use in tool.entry.params if use.required} | tool.entry.resolve.keys()
    required |= set(tool.entry.any_of) | tool.entry.default.both.keys()
    required |= {"dag_run_id"} if tool.entry.takes_latest else set()
    for route in (tool.entry.v1, tool.entry.v2):
        always = re.sub(r"\[.*?\]", "", route.path) if route else ""
        assert set(re.findall(r"\{(\w+)\}", always)) <= required


@every_tool
def test_a_change_that_may_reach_further_than_its_ids_has_a_preview(tool: Tool) -> None:
    reaches = any(use.name.startswith(("include_upstream", "include_downstream")) for use in tool.entry.params)
    assert tool.entry.access == "read" or not reaches or tool.entry.preview


@every_operation
def test_what_a_scope_finds_in_the_path_is_in_the_path(tool: Tool) -> None:
    if tool.entry.python:
        return
    for noun in ("dag", "pool", "variable", "connection"):
        if getattr(tool.entry.scope, noun) == "path":
            routes = [route for route in (tool.entry.v1, tool.entry.v2) if route]
            assert all(any(noun in slot for slot in route.slots) for route in routes)


def test_every_described_parameter_is_used() -> None:
    used = {use.table for tool in OPERATIONS for use in tool.entry.params}
    used |= {name for tool in OPERATIONS for name in values_of(tool)}
    patches = [tool.entry.patch for tool in OPERATIONS if tool.entry.patch]
    used |= {patch.mask_parameter(generation) for patch in patches for generation in ("v1", "v2")}
    assert CATALOG.parameters.keys() - used == set()


def test_every_record_is_answered_by_something() -> None:
    used = {name for tool in OPERATIONS for name in (tool.entry.record, tool.entry.single)}
    assert CATALOG.records.keys() - used == set()


def test_a_synonym_is_for_a_word_of_the_manifests_and_said_of_one_alone() -> None:
    said = [word for words in CATALOG.synonyms.values() for word in words.split()]
    assert sorted(set(said)) == sorted(said)
    assert not set(said) & CATALOG.synonyms.keys()
    used = {word for tool in TOOLS for word in re.findall(r"[a-z]+", f"{tool.name} {tool.entry.title}".lower())}
    assert CATALOG.synonyms.keys() - used - {word.removesuffix("s") for word in used} == set()


@every_operation
def test_the_words_for_finding_a_tool_are_lower_case_and_not_those_of_its_name(tool: Tool) -> None:
    words = tool.entry.words.split()
    assert tool.entry.words == tool.entry.words.lower()
    assert sorted(set(words)) == sorted(words)
    assert not set(words) & set(tool.name.split("_"))
    assert not (words and tool.entry.part_of), "only tools are found"


@every_record
def test_a_record_names_each_field_once_and_its_rows_only_fields_it_keeps(name: str, record: Record) -> None:
    for fields in (record.keep, record.row, record.ids, record.text):
        assert len(set(fields)) == len(fields), f"{name}: {fields}"
    assert set(record.row) <= set(record.keep), name
    assert not set(record.ids) & set(record.text), f"{name}: an id is never altered, a text may be"


def test_every_change_says_how_it_is_read_back_or_why_nothing_shows_it() -> None:
    changes = [tool for tool in CATALOG.operations.values() if tool.entry.access != "read"]
    by_request = [tool for tool in changes if tool.entry.v1 or tool.entry.v2]
    silent = [tool.name for tool in by_request if not (tool.entry.read_back or tool.entry.patch or tool.entry.bulk)]
    assert by_request
    assert silent == []


def test_what_is_read_back_has_the_fields_that_are_compared() -> None:
    for tool in CATALOG.operations.values():
        read_back = tool.entry.read_back
        if not isinstance(read_back, ReadBack):
            continue
        step = CATALOG.operations[read_back.operation].entry
        names = {use.name for use in tool.entry.params}
        assert {*read_back.asks, *read_back.where} <= {use.name for use in step.params}, tool.name
        assert {*read_back.asks.values(), *read_back.holds.values(), *read_back.apart} <= names, tool.name
        assert not (read_back.gone and (read_back.holds or read_back.values or read_back.made)), tool.name


def test_every_text_in_a_path_is_an_id_that_is_read_back_as_it_was_shown() -> None:
    texts = {
        (tool.name, use.name)
        for tool in CATALOG.operations.values()
        for route in (tool.entry.v1, tool.entry.v2)
        if route
        for use in tool.entry.params
        if use.name in route.slots
        and CATALOG.parameters[use.table].json_schema.get("type") == "string"
        and not CATALOG.parameters[use.table].id
    }
    assert texts == set()


def test_every_tool_in_python_is_in_the_table_of_workflows() -> None:
    workflows = load_workflows()
    tools = {name: tool.entry for name, tool in load_catalog().tools.items() if tool.entry.python}
    assert workflows.keys() == tools.keys()
    for name, entry in tools.items():
        assert (workflows[name].targets is not None) is (entry.preview == "flag"), name
        assert (workflows[name].preview is not None) is (entry.preview == "flag"), name
