"""A row of the audit log says what was changed, in the words that Airflow wrote into it, masked like everything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_mcp.redact import MASK
from tests.unit.assistant import GENERATIONS, Json, assistant, table
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.samples import page

pytestmark = pytest.mark.anyio
SECRET = "hunter2-of-somebody"
PATCH: Json = {"method": "PATCH"}


def event(name: str, extra: Any, number: int = 1, **fields: Any) -> Json:
    """A row as both generations write it; `extra` is a text."""
    text = extra if isinstance(extra, str | None) else json.dumps(extra)
    return {
        "event_log_id": number,
        "when": f"2026-11-21T22:{number:02d}:00Z",
        "dag_id": None,
        "task_id": None,
        "run_id": None,
        "map_index": None,
        "event": name,
        "owner": "admin",
        "extra": text,
    } | fields


async def changes(*rows: Json, version: str = "3.3.2", **arguments: Any) -> list[str | None]:
    """What the rows say was changed, in the order in which Airflow gave them."""
    airflow = FakeAirflow(version).on("GET", "/eventLogs", page("event_logs", list(rows)))
    async with assistant(airflow) as someone:
        answer = await someone.ask("list_event_logs", **arguments)
        assert airflow.lines() == ["GET /eventLogs"], "without a second request"
        return [row.get("change") for row in table(answer)]


# As 2.11.2 and 3.3.2 write them: the event, its extra, and what is to be read in the row.
WRITTEN: list[tuple[str, Any, str]] = [
    ("patch_dag", {"is_paused": True, **PATCH}, "is_paused: true"),
    ("api.patch_dag", {"update_mask": "is_paused", "is_paused": False}, "is_paused: false"),
    ("patch_dags", {"dag_id_pattern": "etl_%", "update_mask": "is_paused", "is_paused": False, **PATCH},
     "is_paused: false"),
    ("paused", "[('dag_id', 'etl'), ('is_paused', True)]", "is_paused: true"),
    ("patch_pool", {"pool_name": "small", "update_mask": "slots", "slots": 5, "description": "as it was", **PATCH},
     "pool_name: small, slots: 5"),
    ("patch_pool", {"pool_name": "small", "pool": "small", "name": "small", "slots": 5, **PATCH},
     "pool_name: small, pool: small, slots: 5"),
    ("patch_variable", {"key": "region", "value": "***", "description": None, **PATCH}, "key: region, value: ***"),
    ("api.variable.edit", {"key": "region", "value": "eu"}, "key: region, value: eu"),
    ("patch_task_instance", {"new_state": "failed", "include_upstream": False, "include_future": True, **PATCH},
     "new_state: failed, include_future: true"),
    ("post_clear_task_instances", {"dry_run": False, "only_failed": True, "task_ids": ["load", "check"],
                                   "reset_dag_runs": False, "method": "POST"},
     "only_failed: true, task_ids: load, check"),
    ("trigger_dag_run", {"logical_date": None, "conf": {"rows": 12}, "note": "again", "method": "POST"},
     'conf: {"rows":12}, note: again'),
    ("bulk_pools", {"actions": [{"action": "create", "entities": [{"name": "a", "slots": 2}, {"name": "b"}]},
                                {"action": "delete", "entities": ["c", "d"]}], **PATCH},
     "create a (slots: 2), b, delete c, d"),
    ("cli_dags_pause", {"host_name": "box", "full_command": "['/opt/airflow/bin/airflow', 'dags', 'pause', 'etl']"},
     "command: airflow dags pause etl"),
    ("state mismatch", "Executor reported that the task finished.", "Executor reported that the task finished."),
]  # fmt: skip


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(("name", "extra", "change"), WRITTEN, ids=[name for name, _, _ in WRITTEN])
async def test_a_row_says_what_was_changed(version: str, name: str, extra: Any, change: str) -> None:
    assert await changes(event(name, extra), version=version) == [change]


async def test_that_a_task_begins_is_no_change_whatever_process_began_it() -> None:
    extra = {"host_name": "box", "full_command": "['/opt/airflow/__main__.py', 'scheduler']"}
    rows = [event("cli_task_run", extra, 1, dag_id="etl"), event("cli_scheduler", extra, 2)]
    assert await changes(*rows, version="2.11.2") == [None, "command: airflow scheduler"]


@pytest.mark.parametrize("extra", [None, "", "{}", {"method": "DELETE"}, {"host_name": "box"}])
async def test_a_row_that_says_nothing_has_no_change(extra: Any) -> None:
    rows = event("running", extra, 1), event("patch_dag", {"is_paused": True}, 2, dag_id="etl")
    assert await changes(*rows) == [None, "is_paused: true"]
    assert await changes(event("running", extra)) == [None]


async def test_the_value_before_is_that_of_the_row_before_about_the_same_object() -> None:
    rows = [
        event("patch_dag", {"is_paused": True, **PATCH}, 9, dag_id="etl"),
        event("success", {"host_name": "box"}, 8, dag_id="etl", run_id="r1", task_id="load"),
        event("trigger_dag_run", {"conf": {}, "method": "POST"}, 7, dag_id="etl"),
        event("patch_dag", {"is_paused": True, **PATCH}, 6, dag_id="other"),
        event("patch_dag", {"is_paused": False, **PATCH}, 5, dag_id="etl"),
        event("patch_pool", {"pool_name": "small", "slots": 5, **PATCH}, 4),
        event("patch_pool", {"pool_name": "large", "slots": 64, **PATCH}, 3),
        event("patch_pool", {"pool_name": "small", "slots": 3, **PATCH}, 2),
    ]
    said = await changes(*rows)
    assert said[0] == "is_paused: false -> true"
    assert said[3:5] == ["is_paused: true", "is_paused: false"]
    assert said[5] == "pool_name: small, slots: 5", "a change of another pool may be one of many"
    ascending = await changes(*reversed(rows), order_by="when")
    assert ascending == said[::-1], "whatever the order of the rows"
    without = [row for row in rows if row["event_log_id"] != 3]
    assert (await changes(*without))[5] == "pool_name: small, slots: 3 -> 5"


@pytest.mark.parametrize(
    "between",
    [
        event("patch_dags", {"is_paused": False, **PATCH}, 2),
        event("cli_dags_pause", {"full_command": "['airflow', 'dags', 'pause', 'etl']"}, 2),
        event("delete_dag", {"method": "DELETE"}, 2, dag_id="etl"),
    ],
    ids=lambda row: row["event"],
)
async def test_what_may_have_changed_it_in_between_hides_the_value_before(between: Json) -> None:
    rows = (
        event("patch_dag", {"is_paused": True}, 3, dag_id="etl"),
        event("patch_dag", {"is_paused": False}, 1, dag_id="etl"),
    )
    assert (await changes(rows[0], between, rows[1]))[0] == "is_paused: true"
    assert (await changes(*rows, owner="admin"))[0] == "is_paused: true", "others' events are not in this list"
    assert (await changes(*rows, dag_id="etl"))[0] == "is_paused: false -> true"


@pytest.mark.parametrize(
    "extra",
    [
        {"conf": {"db_password": SECRET}},
        {"key": "api_token", "value": SECRET},
        {"password": SECRET, "connection_id": "db"},
        {"actions": [{"action": "update", "entities": [{"key": "api_token", "value": SECRET}]}]},
        {"full_command": f"['airflow', 'users', 'create', '--password', '{SECRET}']"},
        f"[('password', '{SECRET}')]",
        {"description": f"postgresql://joe:{SECRET}@db.example/x"},
    ],
)
async def test_a_secret_is_masked_in_a_change_too(extra: Any) -> None:
    (change,) = await changes(event("patch_variable", extra))
    assert change is not None
    assert SECRET not in change
    assert MASK in change


async def test_a_long_change_is_short_and_of_a_cut_one_the_beginning_is_told() -> None:
    extra = {"note": "first", "conf": {"rows": "x" * 50_000}, "last": 1}
    (change,) = await changes(event("trigger_dag_run", extra))
    assert change is not None
    assert change.startswith("note: first")
    assert len(change) <= 200
    for broken in ('{"note": "first", "conf": {"ro', '{"note": "first",', '{"note": "first", "conf" 1', "[[[[", '{"a'):
        (change,) = await changes(event("trigger_dag_run", broken))
        assert change in ("note: first", broken)
