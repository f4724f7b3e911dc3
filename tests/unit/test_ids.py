"""Every id arrives as exactly that id, in its own path segment, or the call is refused before anything is sent."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_mcp.airflow.credentials import Credentials
from airflow_mcp.catalog.grammar import Route
from airflow_mcp.catalog.loader import Tool, load_catalog
from airflow_mcp.catalog.versions import Generation, Version
from airflow_mcp.text import escape, unescape
from tests.unit.assistant import ERAS, assistant, talking
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import a_value

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
# What a workflow sends first, where every answer is ANYTHING.
STEPS = {
    "trigger_dag_run": ["get_dag", "get_dag_details", "post_dag_run"],
    "trigger_and_wait": ["get_dag", "get_dag_details", "post_dag_run"],
    "wait_for_dag_run": ["get_dag_run", "list_task_instances"],
    "wait_for_backfill": ["get_backfill"],
    "read_task_log": ["get_task_instance", "get_task_log"],
    "get_dag_overview": ["get_dag_details"],
    "resolve_url": [],
    "why_not_running": [],
    "health_report": [],
    "diagnose_dag_run": [],
    "plan_recovery": [],
    "explain_permission": [],
    "answer_hitl_detail": ["get_hitl_detail"],
    "find_tools": [],
}
ANYTHING = {"file_token": "a.file-token", "state": "success", "try_number": 1}
VALUES: dict[str, Any] = {"slots": 3, "dry_run": False, "new_state": "failed", "state": "failed", "tool": "list_dags"}
NUMBERS = {
    "import_error_id": 41,
    "try_number": 1,
    "asset_id": 7,
    "asset_alias_id": 3,
    "backfill_id": 5,
    "event_log_id": 9,
    "version_number": 2,
}
HARD = [
    "a b",
    "a%2Fb",
    "100%",
    "a?b=c",
    "a#b",
    "a\\b",
    "a;b=c",
    "~",
    "a&b",
    "é",
    "e\u0301",
    "\u202e",
    "a\\u{202E}b",
    "\\",
    "\n",
    "+",
]

ONE_SEGMENT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\x00"), min_size=1, max_size=20
).filter(lambda text: text not in (".", ".."))


def steps_of(tool: Tool, generation: Generation) -> list[Tool]:
    """The operations a call of this tool performs, in order."""
    entry = tool.entry
    if entry.forwards:
        return []
    if entry.python:
        return [CATALOG.operations[name] for name in STEPS[tool.name]]
    route = entry.route(generation)
    assert route is not None
    if generation in entry.unless:
        return [CATALOG.operations[entry.unless[generation]]]  # it exists, so the rest is not sent
    before = [resolve.operation for slot, resolve in entry.resolve.items() if slot in route.slots and not resolve.asks]
    before += [entry.patch.read] if entry.patch else []
    after = [entry.then] if entry.then else []
    return [*(CATALOG.operations[name] for name in before), tool, *(CATALOG.operations[name] for name in after)]


def slots_of(tool: Tool, generation: Generation) -> list[str]:
    """The ids a caller gives that become part of a path."""
    routes = [step.entry.route(generation) for step in steps_of(tool, generation)]
    slots = dict.fromkeys(slot for route in routes if route for slot in route.slots)
    return [slot for slot in slots if slot in {use.name for use in tool.entry.params} and slot not in NUMBERS]


def takes_slash(tool: Tool, slot: str, generation: Generation) -> bool:
    described = {use.name: use.table for use in tool.entry.params}
    return generation in CATALOG.parameters[described[slot]].slash


def is_uri(tool: Tool, slot: str) -> bool:
    described = {use.name: use.table for use in tool.entry.params}
    return CATALOG.parameters[described[slot]].uri


def arguments_of(tool: Tool, ids: dict[str, Any]) -> dict[str, Any]:
    """A whole call: those ids, and something that fits for whatever else is required."""
    required = [use.name for use in tool.entry.params if use.required]
    if not ids.keys() & set(tool.entry.any_of):
        required += tool.entry.any_of[:1]
    described = {use.name: use.table for use in tool.entry.params}
    others = {name: a_value(CATALOG.parameters[described[name]].json_schema) for name in required if name in described}
    known = {name: value for name, value in (VALUES | NUMBERS).items() if name in required or name == "dry_run"}
    known = {name: value for name, value in known.items() if name in described}
    return {**others, **known, **ids}


def segments_of(route: Route, values: dict[str, Any]) -> list[str]:
    """The path's segments as Airflow must understand them, decoded."""
    path = re.sub(
        r"\[/\{(\w+)\}\]", lambda slot: "" if values.get(slot[1], -1) == -1 else f"/{{{slot[1]}}}", route.path
    )
    segments = path.split("/")
    return [str(values[segment[1:-1]]) if segment.startswith("{") else segment for segment in segments]


def as_shown(ids: dict[str, Any]) -> dict[str, Any]:
    """The ids as an answer showed them."""
    return {name: escape(value) if isinstance(value, str) else value for name, value in ids.items()}


def decoded(path: str) -> list[str]:
    return [unquote_to_bytes(segment).decode() for segment in path.split("/")]


CASES = [
    pytest.param(tool, version, id=f"{tool.name}-{version.generation}")
    for tool in CATALOG.tools.values()
    for version in (Version(2, 11), Version(3, 3))
    if tool.entry.since.has(version) and slots_of(tool, version.generation)
]


def ids_for(tool: Tool, generation: Generation) -> st.SearchStrategy[dict[str, Any]]:
    """Any value for every id of the tool, but those the rules refuse."""
    strategies: dict[str, st.SearchStrategy[Any]] = {}
    for slot in slots_of(tool, generation):
        if slot == "map_index":
            strategies[slot] = st.integers(-1, 5000)
        elif takes_slash(tool, slot, generation):
            parts = st.lists(ONE_SEGMENT, min_size=1, max_size=3)
            strategies[slot] = st.one_of(parts.map("/".join), st.sampled_from(HARD))
        else:
            strategies[slot] = st.one_of(ONE_SEGMENT, st.sampled_from(HARD))
    return st.fixed_dictionaries(strategies)


@pytest.mark.parametrize(("tool", "version"), CASES)
def test_an_id_arrives_as_exactly_that_id_in_its_own_segment(tool: Tool, version: Version) -> None:
    airflow = FakeAirflow(f"{version}.2").otherwise(ANYTHING)
    routes = [step.entry.route(version.generation) for step in steps_of(tool, version.generation)]
    with talking(airflow, allow=("*", "@admin")) as call:

        @settings(max_examples=20)
        @given(ids=ids_for(tool, version.generation))
        def every_id_arrives(ids: dict[str, Any]) -> None:
            airflow.sent.clear()
            call(tool.name, **arguments_of(tool, as_shown(ids)))
            values = NUMBERS | {"file_token": "a.file-token"} | ids
            expected = [segments_of(route, values) for route in routes if route]
            paths = [decoded(sent.path) for sent in airflow.sent]  # of 3.1 the list is asked first
            assert [path for path in paths if path in expected][: len(expected)] == expected
            assert all(re.fullmatch(r"[A-Za-z0-9/._~%-]+", sent.path) for sent in airflow.sent), "RFC 3986, 2.3"

        every_id_arrives()


REFUSED = [
    pytest.param(tool, version, slot, id=f"{tool.name}-{version.generation}-{slot}")
    for case in CASES
    for tool, version in [case.values]
    if isinstance(tool, Tool) and isinstance(version, Version)
    for slot in slots_of(tool, version.generation)
    if slot != "map_index"
]


@pytest.mark.parametrize(("tool", "version", "slot"), REFUSED)
async def test_an_id_no_path_can_carry_is_refused_and_nothing_is_sent(tool: Tool, version: Version, slot: str) -> None:
    airflow = FakeAirflow(f"{version}.2").otherwise(ANYTHING)
    wrong = ["", ".", ".."]
    if is_uri(tool, slot):
        wrong += ["../a", "a/.", "s3://a/../b"]
    else:
        slashes = takes_slash(tool, slot, version.generation)
        wrong += ["../a", "a/.", "/", "//"] if slashes else ["/", "a/b", "../a"]
        wrong += (
            ["a//b", "/a", "a/"] if slashes and version.generation == "v1" else []
        )  # werkzeug makes one slash of two
    fine = {name: 1 if name == "map_index" else "fine" for name in slots_of(tool, version.generation)}
    async with assistant(airflow, allow=("*", "@admin")) as someone:
        for value in wrong:
            sentence = await someone.refused(tool.name, **arguments_of(tool, fine | {slot: value}))
            assert slot in sentence, f"{value!r}: {sentence}"
            assert len(sentence) <= 600
    assert airflow.sent == []


@pytest.mark.parametrize("mode", ERAS)
def test_an_id_survives_both_protocols(mode: str) -> None:
    airflow = FakeAirflow()
    with talking(airflow, mode=mode) as call:

        @given(name=st.one_of(st.sampled_from(HARD), ONE_SEGMENT))
        def every_name_survives(name: str) -> None:
            airflow.otherwise({"name": name, "slots": 1}).sent.clear()
            answer = call("get_pool", pool_name=escape(name)).structured_content
            assert [decoded(sent.path) for sent in airflow.sent] == [["", "pools", name]]
            assert answer is not None
            assert answer["name"] == escape(name)
            assert unescape(answer["name"]) == name

        every_name_survives()


@pytest.mark.parametrize("sign", [chr(0xD800), chr(0xDFFF), "\x00"])
@pytest.mark.parametrize("mode", ERAS)
async def test_what_cannot_be_sent_is_refused_in_words(sign: str, mode: str) -> None:
    airflow = FakeAirflow()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("get_dag", {"dag_id": f"etl{sign}"}),
        ("get_dag", {"dag_id": escape(f"etl{sign}")}),
        ("list_dags", {"tags": ["a", escape(sign)]}),
        ("trigger_dag_run", {"dag_id": "etl", "conf": {"a": [{"b": [f"c{sign}"]}]}}),
        ("bulk_pools", {"delete": [escape(sign)]}),
    ]
    async with assistant(airflow, allow=("*",), mode=mode) as someone:
        for tool, arguments in calls:
            sentence = await someone.refused(tool, **arguments)
            assert escape(sign) in sentence
            assert "cannot be sent" in sentence
    assert airflow.sent == []


async def test_a_value_too_long_for_any_address_is_refused_in_words() -> None:
    airflow = FakeAirflow()
    async with assistant(airflow) as someone:
        assert "failed inside this server" not in await someone.refused("get_dag", dag_id="x" * 100_000)
        assert "failed inside this server" not in await someone.refused("list_dags", dag_id_pattern="x" * 100_000)
    assert airflow.sent == []


def test_a_filter_arrives_as_exactly_that_value() -> None:
    airflow = FakeAirflow().on("GET", "/dags", {"dags": [], "total_entries": 0})
    with talking(airflow) as call:

        @given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1))
        @example(value="a&limit=0")
        @example(value="a+b c%20d")
        def every_value_arrives(value: str) -> None:
            assert not call("list_dags", dag_id_pattern=escape(value), tags=[escape(value), "etl"]).is_error
            query = airflow.last().query
            assert [given for name, given in query if name == "dag_id_pattern"] == [value]
            assert [given for name, given in query if name == "tags"] == [value, "etl"]
            assert sorted(name for name, _ in query) == ["dag_id_pattern", "limit", "order_by", "tags", "tags"]

        every_value_arrives()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("tool", ["get_dag", "pause_dag"])
async def test_a_redirect_is_never_followed(status: int, tool: str) -> None:
    elsewhere = Reply(status, headers={"location": "https://elsewhere.example/api/v2/dags/etl"})
    airflow = FakeAirflow().otherwise(elsewhere)
    async with assistant(airflow, allow=("@write",)) as someone:
        sentence = await someone.refused(tool, dag_id="etl")
    assert "redirect to https://elsewhere.example" in sentence
    assert "AIRFLOW_MCP_URL" in sentence
    assert [sent.method for sent in airflow.sent] == (["GET"] if tool == "get_dag" else ["PATCH", "GET"])
    assert {sent.headers["host"] for sent in airflow.seen} == {"airflow.example:8080"}


@pytest.mark.parametrize("path", ["/api/v2/version", "/auth/token"])
async def test_a_redirect_of_the_version_or_the_login_is_not_followed_either(path: str) -> None:
    away = Reply(302, headers={"location": "https://elsewhere.example/login"})
    airflow = FakeAirflow().on("GET", "/version", away) if "version" in path else FakeAirflow()
    airflow.on("POST", "/auth/token", away)
    async with assistant(airflow, credentials=Credentials(username="ann", password="pass-word-of-ann")) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "AIRFLOW_MCP_URL" in sentence
    assert airflow.seen[-1].path == path
    assert {sent.headers["host"] for sent in airflow.seen} == {"airflow.example:8080"}
