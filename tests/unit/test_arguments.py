"""Wrong arguments are refused before anything is sent, in words that say what to change."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.errors import InvalidArgumentsError
from tests.unit.assistant import ERAS, GENERATIONS, assistant
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
READS = [tool for tool in load_catalog().tools.values() if tool.entry.access == "read" and not tool.entry.forwards]


async def refusal(tool: str, arguments: dict[str, Any], *, version: str = "3.3.2", mode: str = "auto") -> str:
    """The sentence of a call that must not reach Airflow."""
    airflow = FakeAirflow(version)
    async with assistant(airflow, mode=mode, allow=("*",)) as someone:
        sentence = await someone.refused(tool, **arguments)
    assert airflow.seen == [], "a call with wrong arguments reached Airflow"
    assert len(sentence) <= 600
    assert "http" not in sentence
    return sentence


@pytest.mark.parametrize("mode", ERAS)
async def test_a_missing_argument_is_named(mode: str) -> None:
    assert await refusal("get_dag", {}, mode=mode) == "get_dag: dag_id is required."


async def test_every_missing_argument_is_named_at_once() -> None:
    sentence = await refusal("create_backfill", {"dag_id": "etl"})
    assert "from_date and to_date are required" in sentence


async def test_a_misspelt_argument_is_met_with_the_near_name() -> None:
    sentence = await refusal("list_dags", {"dag_id_patern": "etl"})
    assert "unknown argument 'dag_id_patern': did you mean dag_id_pattern?" in sentence


async def test_an_argument_like_no_other_is_met_with_those_there_are() -> None:
    sentence = await refusal("get_pool", {"pool_name": "small", "zzz": 1})
    assert "'zzz'" in sentence
    assert "pool_name, fields, max_chars" in sentence


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("get_dag", {"dag_id": 7}, "dag_id must be a string, not 7"),
        ("list_dags", {"limit": "ten"}, 'limit must be a whole number, not "ten"'),
        ("list_dags", {"paused": "yes"}, 'paused must be true or false, not "yes"'),
        ("list_dags", {"tags": {"etl": True}}, 'tags must be a list, not {"etl": true}'),
        ("trigger_dag_run", {"dag_id": "etl", "conf": "{bad"}, 'conf must be an object, not "{bad"'),
        ("list_dags", {"limit": 0}, "limit must be at least 1"),
        ("list_dags", {"limit": 1001}, "limit must be at most 1000"),
        ("list_dags", {"max_chars": 399}, "max_chars must be at least 400"),
        ("create_pool", {"pool_name": "", "slots": 1}, "pool_name must not be empty"),
        ("list_dag_runs", {"dag_id": "etl", "state": ["done"]}, "state.0 must be one of queued, running, success, f"),
        ("get_dag", {"dag_id": None}, "dag_id must be a string, not null"),
        ("get_task_instance", {"dag_id": "a", "dag_run_id": "b", "task_id": "c", "map_index": -2}, "at least -1"),
        ("get_task_instance", {"dag_id": "a", "dag_run_id": "b", "task_id": "c", "map_index": "0.5"}, "a whole number"),
        ("get_import_error", {"import_error_id": "one"}, "import_error_id must be a whole number"),
    ],
)
async def test_a_value_that_does_not_fit_is_met_with_what_would(tool: str, arguments: Any, words: str) -> None:
    assert words in await refusal(tool, arguments)


async def test_a_very_long_wrong_value_is_not_repeated_whole() -> None:
    sentence = await refusal("list_dags", {"limit": "x" * 10_000})
    assert "limit must be a whole number" in sentence
    assert len(sentence) < 200


async def test_many_wrong_arguments_make_one_short_error() -> None:
    sentence = await refusal("list_dags", {f"{'wrong' * 20}{number}": 1 for number in range(50)})
    assert "unknown argument" in sentence


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ("2026-11-21", "2026-11-21T00:00:00Z"),
        ("2026-11-21T08:30:00", "2026-11-21T08:30:00Z"),
        ("2026-11-21 08:30:00", "2026-11-21T08:30:00Z"),
        ("20261121T083000", "2026-11-21T08:30:00Z"),
    ],
)
async def test_a_date_without_a_timezone_is_answered_with_the_value_to_send(
    version: str, given: str, corrected: str
) -> None:
    sentence = await refusal("list_dag_runs", {"dag_id": "etl", "start_date_gte": given}, version=version)
    assert f"start_date_gte needs a timezone: {corrected} if you mean UTC" in sentence


async def test_the_corrected_date_is_taken() -> None:
    airflow = FakeAirflow().on("GET", "/dags/etl/dagRuns", {"dag_runs": [{"dag_run_id": "a"}], "total_entries": 1})
    async with assistant(airflow) as someone:
        await someone.ask("list_dag_runs", dag_id="etl", start_date_gte="2026-11-21T00:00:00Z")
        await someone.ask("list_dag_runs", dag_id="etl", start_date_gte="2026-11-21T01:00:00+02:00")
    assert [sent.asked["start_date_gte"] for sent in airflow.sent] == [
        "2026-11-21T00:00:00Z",
        "2026-11-21T01:00:00+02:00",
    ]


@pytest.mark.parametrize("given", ["yesterday", "2026-13-01T00:00:00Z", "", "1700000000"])
async def test_what_is_no_date_is_met_with_an_example_of_one(given: str) -> None:
    sentence = await refusal("list_event_logs", {"after": given})
    assert "after must be a date and time such as 20" in sentence


@pytest.mark.parametrize("tool", ["clear_task_instances", "trigger_dag_run"])
async def test_dates_of_a_change_are_checked_like_those_of_a_read(tool: str) -> None:
    name = {"clear_task_instances": "start_date", "trigger_dag_run": "logical_date"}[tool]
    sentence = await refusal(tool, {"dag_id": "etl", name: "2026-11-21"})
    assert f"{name} needs a timezone: 2026-11-21T00:00:00Z" in sentence


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("clear_task_instances", {"dag_id": "etl"}, "give at least one of dag_run_id, start_date, end_date"),
        ("update_pool", {"pool_name": "small"}, "give at least one of slots, description, include_deferred"),
    ],
)
async def test_a_change_that_names_nothing_to_change_is_refused(tool: str, arguments: Any, words: str) -> None:
    assert words in await refusal(tool, arguments)


async def test_a_whole_number_written_as_a_float_arrives_as_a_whole_number() -> None:
    airflow = FakeAirflow().on("GET", "/dags", {"dags": [], "total_entries": 0})
    async with assistant(airflow) as someone:
        await someone.ask("list_dags", limit=5.0)
    assert airflow.last().asked["limit"] == "5"


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("map_index", [None, -1, 0, 12])
async def test_a_map_index_makes_the_path_of_a_mapped_task_instance(version: str, map_index: int | None) -> None:
    airflow = FakeAirflow(version).otherwise({"task_id": "load", "state": "failed"})
    arguments = {"dag_id": "etl", "dag_run_id": "r", "task_id": "load"}
    async with assistant(airflow) as someone:
        await someone.ask("get_task_instance", **arguments, **({} if map_index is None else {"map_index": map_index}))
    end = f"/{map_index}" if map_index is not None and map_index >= 0 else ""
    assert airflow.lines() == [f"GET /dags/etl/dagRuns/r/taskInstances/load{end}"]


@pytest.mark.parametrize("tool", [tool.name for tool in READS])
async def test_no_read_takes_an_argument_nobody_described(tool: str) -> None:
    assert "unknown argument 'qqqqqq'" in await refusal(tool, {"qqqqqq": True})


UNSENDABLE = {
    "NaN": (math.nan, "NaN, a number that JSON does not have"),
    "infinity": ({"a": [math.inf]}, "Infinity, a number that JSON does not have"),
    "minus infinity": ([-math.inf], "-Infinity, a number that JSON does not have"),
    "depth of objects": (json.loads('{"a":' * 900 + "1" + "}" * 900), "more than 200 lists and objects in each other"),
    "depth of lists": (json.loads("[" * 900 + "]" * 900), "more than 200 lists and objects in each other"),
    "half of a pair in a key": ({"a": {"\ud800": 1}}, "\\u{D800}, a character that cannot be sent"),
    "NUL": ({"a": ["x\x00"]}, "\\u{0}, a character that cannot be sent"),
}


@pytest.mark.parametrize("what", UNSENDABLE)
@pytest.mark.parametrize(
    ("tool", "around"),
    [
        ("trigger_dag_run", lambda value: {"dag_id": "etl", "conf": {"x": value}}),
        ("create_variable", lambda value: {"variable_key": "k", "value": value}),
        ("bulk_variables", lambda value: {"create": [{"variable_key": "k", "value": value}]}),
        ("create_connection", lambda value: {"connection_id": "c", "conn_type": "http", "extra": {"x": value}}),
        ("get_dag", lambda value: {"dag_id": value}),
        ("get_dag", lambda value: {"dag_id": "etl", "fields": value}),
        ("call_changing_tool", lambda one: {"tool": "trigger_dag_run", "arguments": {"dag_id": "etl", "conf": one}}),
        ("explain_permission", lambda value: {"tool": "trigger_dag_run", "arguments": {"conf": value}}),
    ],
)  # fmt: skip
async def test_what_no_request_can_carry_is_refused_in_a_sentence(what: str, tool: str, around: Any) -> None:
    """Straight into the server: a client in Python cannot send what parsers of JSON elsewhere let through."""
    value, words = UNSENDABLE[what]
    airflow = FakeAirflow()
    async with assistant(airflow, allow=("*",)) as someone:
        assert someone.instances is not None
        with pytest.raises(InvalidArgumentsError) as caught:
            await someone.instances.call(tool, around(value), Caller())
    assert words in str(caught.value)
    assert airflow.seen == []


async def test_calls_about_each_other_without_end_are_refused_in_a_sentence() -> None:
    call: Any = {"tool": "get_dag", "arguments": {}}
    for _ in range(400):
        call = {"tool": "explain_permission", "arguments": call}
    async with assistant(FakeAirflow()) as someone:
        assert someone.instances is not None
        with pytest.raises(InvalidArgumentsError, match="lists and objects in each other"):
            await someone.instances.call("explain_permission", call, Caller())
