"""Arguments as clients write them are read where the schema leaves one reading, and else refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mcp.catalog.client_arguments import read_arguments, read_value
from airflow_mcp.catalog.loader import load_catalog
from tests.permissions.support import connected
from tests.unit.assistant import ERAS, Json, assistant
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
RUN = {"dag_id": "etl", "dag_run_id": "r"}
TASK = RUN | {"task_id": "load"}

READINGS: list[tuple[str, Json, Json]] = [
    # whole numbers and truth values as text
    ("list_dags", {"limit": "3"}, {"limit": 3}),
    ("list_dags", {"limit": " 3 ", "offset": "0"}, {"limit": 3, "offset": 0}),
    ("list_dags", {"limit": "3.0"}, {"limit": 3}),
    ("get_task_instance", TASK | {"map_index": "3"}, TASK | {"map_index": 3}),
    ("get_task_instance", TASK | {"map_index": "-1"}, TASK | {"map_index": -1}),
    ("list_dags", {"paused": "true", "exclude_stale": "False"}, {"paused": True, "exclude_stale": False}),
    ("clear_task_instances", RUN | {"only_failed": "false"}, RUN | {"only_failed": False}),
    ("list_dags", {"max_chars": "1000"}, {"max_chars": 1000}),
    # JSON as text
    ("list_dags", {"tags": '["a", "b"]'}, {"tags": ["a", "b"]}),
    ("list_dags", {"tags": "[]"}, {"tags": []}),
    ("trigger_dag_run", {"dag_id": "etl", "conf": '{"a": 1}'}, {"dag_id": "etl", "conf": {"a": 1}}),
    ("trigger_dag_run", {"dag_id": "etl", "conf": "{}"}, {"dag_id": "etl", "conf": {}}),
    ("clear_task_instances", RUN | {"task_ids": '["a", ["b", "3"]]'}, RUN | {"task_ids": ["a", ["b", 3]]}),
    ("bulk_pools", {"delete": '["small"]'}, {"delete": ["small"]}),
    (
        "bulk_pools",
        {"create": [{"pool_name": "p", "slots": "3", "include_deferred": "true", "description": None}]},
        {"create": [{"pool_name": "p", "slots": 3, "include_deferred": True}]},
    ),
    # one value for a list of plain values
    ("list_dag_runs", {"dag_id": "etl", "state": "failed"}, {"dag_id": "etl", "state": ["failed"]}),
    ("list_dags", {"tags": "etl", "owners": "ann"}, {"tags": ["etl"], "owners": ["ann"]}),
    ("list_dags", {"fields": "*"}, {"fields": ["*"]}),
    ("clear_task_instances", RUN | {"task_ids": "load"}, RUN | {"task_ids": ["load"]}),
    ("list_dags", {"tags": "a,b"}, {"tags": ["a,b"]}),  # a tag may hold a comma
    ("list_dag_runs", {"dag_id": "etl", "state": "failed,Running"}, {"dag_id": "etl", "state": ["failed", "running"]}),
    # names of an enum in other case
    (
        "list_dag_runs",
        {"dag_id": "etl", "state": ["FAILED", "Success"]},
        {"dag_id": "etl", "state": ["failed", "success"]},
    ),
    ("set_dag_run_state", RUN | {"state": "Success"}, RUN | {"state": "success"}),
    ("list_dags", {"tags_match_mode": "ANY"}, {"tags_match_mode": "any"}),
    # null of what may be left out
    ("list_dags", {"offset": None, "tags": None, "dag_id_pattern": None}, {}),
    ("trigger_dag_run", {"dag_id": "etl", "conf": None, "note": None, "plan": None}, {"dag_id": "etl"}),
    ("diagnose_dag_run", {"dag_id": "etl", "url": None, "instance": None}, {"dag_id": "etl"}),
    # null where it is a value
    (
        "set_task_state",
        TASK | {"key": "k", "value": 1, "expires_at": None},
        TASK | {"key": "k", "value": 1, "expires_at": None},
    ),
    # texts stay texts
    ("create_variable", {"variable_key": "k", "value": "5"}, {"variable_key": "k", "value": "5"}),
    ("create_variable", {"variable_key": "k", "value": "true"}, {"variable_key": "k", "value": "true"}),
    ("create_variable", {"variable_key": "k", "value": '{"a": 1}'}, {"variable_key": "k", "value": '{"a": 1}'}),
    ("get_dag", {"dag_id": "7"}, {"dag_id": "7"}),
    ("set_dag_run_note", RUN | {"note": "true"}, RUN | {"note": "true"}),
    # the arguments of another tool
    (
        "call_tool",
        {"tool": "list_dags", "arguments": '{"limit": "3"}'},
        {"tool": "list_dags", "arguments": {"limit": 3}},
    ),
    ("call_tool", {"tool": "list_dags", "arguments": None}, {"tool": "list_dags"}),
    (
        "explain_permission",
        {"tool": "clear_task_instances", "arguments": {"dag_id": "etl", "dry_run": "false"}},
        {"tool": "clear_task_instances", "arguments": {"dag_id": "etl", "dry_run": False}},
    ),
]


@pytest.mark.parametrize(("tool", "given", "read"), READINGS)
def test_an_argument_with_one_reading_is_read(tool: str, given: Json, read: Json) -> None:
    assert read_arguments(CATALOG.tools[tool], given, CATALOG) == read


UNREAD: list[tuple[str, Json]] = [
    ("list_dags", {"limit": "three"}),
    ("list_dags", {"limit": "3.5"}),
    ("list_dags", {"limit": ""}),
    ("list_dags", {"limit": "3" * 5_000}),
    ("list_dags", {"limit": "٣"}),  # a digit to Unicode, not to JSON
    ("list_dags", {"limit": [3]}),
    ("list_dags", {"limit": True}),
    ("list_dags", {"paused": "yes"}),
    ("list_dags", {"paused": "1"}),
    ("list_dags", {"paused": 1}),
    ("list_dags", {"tags": '["a"'}),
    ("list_dags", {"tags": {"a": 1}}),
    ("list_dags", {"tags": 5}),
    ("list_dag_runs", {"dag_id": "etl", "state": "done"}),
    ("list_dag_runs", {"dag_id": "etl", "state": [None]}),
    ("trigger_dag_run", {"dag_id": "etl", "conf": "{bad"}),
    ("trigger_dag_run", {"dag_id": "etl", "conf": "[1]"}),
    ("trigger_dag_run", {"dag_id": "etl", "conf": '{"a": 1, "a": 2}'}),
    ("trigger_dag_run", {"dag_id": "etl", "conf": '{"a": NaN}'}),
    ("trigger_dag_run", {"dag_id": "etl", "conf": "[" * 100_000}),
    ("get_dag", {"dag_id": None}),
    ("get_dag", {"dag_id": 7}),
    ("call_tool", {"tool": "list_dags", "arguments": "{bad"}),
    ("bulk_pools", {"delete": [{"pool_name": "small"}]}),
]


@pytest.mark.parametrize(("tool", "given"), UNREAD)
async def test_an_argument_with_no_reading_is_refused_and_nothing_is_sent(tool: str, given: Json) -> None:
    airflow = FakeAirflow()
    async with assistant(airflow, allow=("*",)) as someone:
        assert len(await someone.refused(tool, **given)) <= 600
    assert airflow.seen == []


@pytest.mark.parametrize("mode", ERAS)
async def test_what_was_read_is_what_airflow_gets(mode: str) -> None:
    airflow = FakeAirflow().on("GET", "/dags", {"dags": [{"dag_id": "a"}], "total_entries": 1})
    async with assistant(airflow, mode=mode) as someone:
        await someone.ask("list_dags", limit="3", tags='["a", "b"]', paused="false", offset=None)
        await someone.ask("call_tool", tool="list_dags", arguments='{"limit": "3"}')
    first, second = (sent for sent in airflow.sent if sent.path.endswith("/dags"))
    assert {("limit", "3"), ("paused", "false"), ("tags", "a"), ("tags", "b")} <= set(first.query)
    assert "offset" not in dict(first.query)
    assert second.asked["limit"] == "3"


async def test_a_plan_is_bound_to_the_arguments_as_read() -> None:
    task = {"task_id": "load", "dag_id": "etl", "dag_run_id": "r", "state": "failed"}
    airflow = FakeAirflow().on("POST", "/dags/etl/clearTaskInstances", {"task_instances": [task], "total_entries": 1})
    async with connected(airflow, {"allow": [{"tools": ["clear_task_instances"]}]}) as someone:
        preview = await someone.ask("clear_task_instances", **RUN, task_ids='["load"]', dry_run="false")
        done = await someone.ask("clear_task_instances", **RUN, task_ids=["load"], dry_run=False, plan=preview["plan"])
    assert done["done"] is True


@pytest.mark.parametrize("dry_run", ["true", "True", True, None])
async def test_a_dry_run_written_as_text_changes_nothing(dry_run: Any) -> None:
    task = {"task_id": "load", "dag_id": "etl", "dag_run_id": "r", "state": "failed"}
    airflow = FakeAirflow().on("POST", "/dags/etl/clearTaskInstances", {"task_instances": [task], "total_entries": 1})
    async with assistant(airflow, allow=("*",)) as someone:
        answer = await someone.ask("clear_task_instances", **RUN, dry_run=dry_run)
    assert answer["dry_run"] is True
    assert [sent.body["dry_run"] for sent in airflow.sent if sent.method == "POST" and sent.body] == [True]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4), lambda one: st.lists(one, max_size=3)
)
KINDS = st.sampled_from([{"type": "integer"}, {"type": "boolean"}, {"type": "array", "items": {"type": "integer"}}])


@given(schema=KINDS, value=JSON_VALUES)
def test_reading_twice_changes_nothing_more(schema: Json, value: Any) -> None:
    read = read_value(schema, value)
    assert read_value(schema, read) == read


@given(value=st.lists(st.integers(-(10**17), 10**17), max_size=5))
def test_any_value_written_as_json_is_read_back(value: list[int]) -> None:
    assert read_value({"type": "array", "items": {"type": "integer"}}, json.dumps(value)) == value
    assert read_value({"type": "array", "items": {"type": "integer"}}, [str(one) for one in value]) == value


@given(text=st.text(max_size=20))
def test_a_text_that_is_wanted_as_text_is_never_anything_else(text: str) -> None:
    for schema in ({"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "number"}]}, {}):
        assert read_value(schema, text) == text
