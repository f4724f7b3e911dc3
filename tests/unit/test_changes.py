"""What each change sends to each generation, and how a change that Airflow ignored is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.assistant import GENERATIONS, assistant, calls_of, table
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import dag, dag_run, dag_v1, page, pool, task_instance

pytestmark = pytest.mark.anyio
ALL = ("*",)
TASK = {"dag_id": "etl", "dag_run_id": "r", "task_id": "load"}
TASK_PATH = "/dags/etl/dagRuns/r/taskInstances/load"
SIGNED = {"note": "by local, through airflow-mcp"}  # where a run takes a note and the caller gives none


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(("tool", "is_paused"), [("pause_dag", True), ("unpause_dag", False)])
async def test_pausing_sends_one_field(version: str, tool: str, is_paused: bool) -> None:
    record = dag(is_paused=is_paused) if version.startswith("3") else dag_v1(is_paused=is_paused)
    airflow = FakeAirflow(version).on("PATCH", "/dags/etl", record)
    async with assistant(airflow, allow=ALL) as someone:
        assert (await someone.ask(tool, dag_id="etl"))["is_paused"] is is_paused
    (sent,) = airflow.sent
    assert (sent.body, sent.query) == ({"is_paused": is_paused}, [])


async def test_a_pool_of_2x_is_changed_with_one_comma_joined_mask() -> None:
    airflow = FakeAirflow("2.11.2").on("GET", "/pools/small", pool())
    airflow.on("PATCH", "/pools/small", pool(slots=9, description="wider"))
    async with assistant(airflow, allow=ALL) as someone:
        await someone.ask("update_pool", pool_name="small", slots=9, description="wider")
    sent = airflow.last("PATCH")
    assert sent.query == [("update_mask", "slots,description")]
    assert sent.body["slots"] == 9
    assert sent.body["description"] == "wider"


async def test_a_pool_of_3x_is_changed_with_a_repeated_mask_and_its_whole_body() -> None:
    airflow = FakeAirflow().on("GET", "/pools/small", pool(description="as it was", include_deferred=True))
    airflow.on("PATCH", "/pools/small", pool(slots=9, description="as it was", include_deferred=True))
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("update_pool", pool_name="small", slots=9)
    sent = airflow.last("PATCH")
    assert sent.query == [("update_mask", "slots")]
    assert sent.body == {"pool": "small", "slots": 9, "description": "as it was", "include_deferred": True}
    assert answer["slots"] == 9


async def test_two_fields_of_a_pool_make_two_masks_on_3x() -> None:
    airflow = FakeAirflow().on("GET", "/pools/small", pool())
    airflow.on("PATCH", "/pools/small", pool(slots=-1, include_deferred=True))
    async with assistant(airflow, allow=ALL) as someone:
        await someone.ask("update_pool", pool_name="small", slots=-1, include_deferred=True)
    assert sorted(airflow.last("PATCH").query) == [("update_mask", "include_deferred"), ("update_mask", "slots")]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_change_that_airflow_answers_with_the_old_value_is_an_error(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", "/pools/small", pool()).on("PATCH", "/pools/small", pool())
    async with assistant(airflow, allow=ALL) as someone:
        sentence = await someone.refused("update_pool", pool_name="small", slots=9, description="for small things")
    assert "did not write slots" in sentence
    assert "description" not in sentence.partition("did not write")[2]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_pool_that_does_not_exist_is_not_changed(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", "/pools", page("pools", [pool()]))
    async with assistant(airflow, allow=ALL) as someone:
        assert "Did you mean small?" in await someone.refused("update_pool", pool_name="smal", slots=9)
    assert not [sent for sent in airflow.sent if sent.method != "GET"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_new_pool_is_sent_whole(version: str) -> None:
    airflow = FakeAirflow(version).on("POST", "/pools", Reply(201, pool("new", 2)))
    async with assistant(airflow, allow=ALL) as someone:
        await someone.ask("create_pool", pool_name="new", slots=2)
    assert airflow.last().body == {"name": "new", "slots": 2, "include_deferred": False}


@pytest.mark.parametrize(
    ("version", "body"),
    [("2.11.2", {"new_state": "failed", "dry_run": False}), ("3.3.2", {"new_state": "failed"})],
)
@pytest.mark.parametrize("map_index", [None, 4])
async def test_a_task_instance_is_really_set_and_then_read_back(
    version: str, body: dict[str, Any], map_index: int | None
) -> None:
    path = TASK_PATH if map_index is None else f"{TASK_PATH}/{map_index}"
    airflow = FakeAirflow(version).on("PATCH", path, {}).on("GET", path, task_instance(state="failed"))
    mapped = {} if map_index is None else {"map_index": map_index}
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("set_task_instance_state", **TASK, **mapped, new_state="failed")
    assert airflow.lines() == [f"PATCH {path}", f"GET {path}"]
    assert airflow.sent[0].body == body
    assert answer["state"] == "failed"


async def test_neighbours_of_a_task_instance_are_included_where_3x_can() -> None:
    airflow = (
        FakeAirflow()
        .on("PATCH", TASK_PATH, page("task_instances", [task_instance()]))
        .on("GET", TASK_PATH, task_instance())
    )
    async with assistant(airflow, allow=ALL) as someone:
        await someone.ask("set_task_instance_state", **TASK, new_state="success", include_downstream=True)
    assert airflow.sent[0].body == {"new_state": "success", "include_downstream": True}


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("dry_run", [None, True, False])
async def test_clearing_tasks_only_shows_them_unless_told_otherwise(version: str, dry_run: bool | None) -> None:
    tasks = page("task_instances", [task_instance("load"), task_instance("check")])
    airflow = FakeAirflow(version).on("POST", "/dags/etl/clearTaskInstances", tasks)
    mapped = page("task_instances", [task_instance("load") | {"map_index": 3}])
    airflow.on("GET", "/dags/etl/dagRuns/manual__1/taskInstances", mapped)
    given = {} if dry_run is None else {"dry_run": dry_run}
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("clear_task_instances", dag_id="etl", dag_run_id="r", task_ids=["load"], **given)
    sent = airflow.last("POST")
    assert sent.body == {
        "dag_run_id": "r",
        "task_ids": ["load"],
        "dry_run": dry_run is not False,
        "only_failed": True,
        "reset_dag_runs": True,
    } | (SIGNED if dry_run is False and version.startswith("3") else {})
    assert [row["task_id"] for row in table(answer)] == ["load", "check"]
    which = [value for one in airflow.sent if one.method == "GET" for name, value in one.query if name == "state"]
    assert which == ([] if dry_run is False or version.startswith("3") else ["failed", "upstream_failed"])
    assert ("map_index" in table(answer)[0]) is bool(which), "Airflow 2 itself does not say which of a mapped task"
    if dry_run is False:
        assert answer["done"] is True
        assert "dry_run" not in answer
    else:
        assert answer["dry_run"] is True
        assert calls_of(answer)[0][1]["dry_run"] is False


@pytest.mark.parametrize("version", GENERATIONS)
async def test_clearing_nothing_says_that_nothing_matches(version: str) -> None:
    airflow = FakeAirflow(version).on("POST", "/dags/etl/clearTaskInstances", page("task_instances", []))
    airflow.on("GET", "/dags/etl/dagRuns/r", dag_run("r"))
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("clear_task_instances", dag_id="etl", dag_run_id="r")
    assert answer["rows"] == []
    assert "Nothing matches" in answer["hint"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_clearing_a_run_shows_its_tasks_and_then_clears_the_run(version: str) -> None:
    tasks, run = page("task_instances", [task_instance()]), dag_run("r", "queued")
    airflow = FakeAirflow(version).on("POST", "/dags/etl/dagRuns/r/clear", tasks, run)
    airflow.on("GET", "/dags/etl/dagRuns/manual__1/taskInstances", tasks)
    async with assistant(airflow, allow=ALL) as someone:
        shown = await someone.ask("clear_dag_run", dag_id="etl", dag_run_id="r")
        done = await someone.ask("clear_dag_run", dag_id="etl", dag_run_id="r", dry_run=False)
    signed = SIGNED if version.startswith("3") else {}
    sent = [one.body for one in airflow.sent if one.method == "POST"]
    assert sent == [{"dry_run": True}, {"dry_run": False} | signed]
    assert shown["dry_run"] is True
    assert table(shown)[0]["task_id"] == "load"
    assert done["done"] is True
    assert done["state"] == "queued"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_runs_state_is_set_with_one_field(version: str) -> None:
    airflow = FakeAirflow(version).on("PATCH", "/dags/etl/dagRuns/r", dag_run("r", "success"))
    async with assistant(airflow, allow=ALL) as someone:
        assert (await someone.ask("set_dag_run_state", dag_id="etl", dag_run_id="r", state="success"))["state"]
    assert airflow.last().body == {"state": "success"}


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    ("tool", "arguments", "path"),
    [
        ("delete_dag", {"dag_id": "etl"}, "/dags/etl"),
        ("delete_dag_run", {"dag_id": "etl", "dag_run_id": "r"}, "/dags/etl/dagRuns/r"),
        ("delete_pool", {"pool_name": "small"}, "/pools/small"),
    ],
)
@pytest.mark.parametrize("reply", [Reply(204), Reply(200, b"null"), Reply(204, None, {"content-type": "text/html"})])
async def test_a_deletion_says_what_is_gone(
    version: str, tool: str, arguments: dict[str, str], path: str, reply: Reply
) -> None:
    airflow = FakeAirflow(version).on("DELETE", path, reply)
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask(tool, **arguments)
    assert answer == {"done": True, **arguments}
    (sent,) = airflow.sent
    assert (sent.body, sent.query) == (None, [])


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("2.11.2", {"conf": {"rows": 1}, "dag_run_id": "mine"} | SIGNED),
        ("3.3.2", {"conf": {"rows": 1}, "dag_run_id": "mine", "logical_date": None} | SIGNED),
    ],
)
async def test_a_run_is_triggered_for_now_in_the_way_of_the_generation(version: str, body: dict[str, Any]) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag(is_paused=False)).on("GET", "/dags/etl/details", dag())
    airflow.on("POST", "/dags/etl/dagRuns", dag_run("mine", "queued"))
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("trigger_dag_run", dag_id="etl", conf={"rows": 1}, dag_run_id="mine")
    assert airflow.lines() == ["GET /dags/etl", "GET /dags/etl/details", "POST /dags/etl/dagRuns"]
    assert airflow.last("POST").body == body
    assert answer["dag_run_id"] == "mine"
    assert "hint" not in answer


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_run_keeps_the_note_that_the_caller_gives_it_and_names_the_caller(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag(is_paused=False))
    airflow.on("POST", "/dags/etl/dagRuns", dag_run("mine", "queued"))
    async with assistant(airflow, allow=ALL) as someone:
        await someone.ask("trigger_dag_run", dag_id="etl", note="as asked by Zoë")
    assert airflow.last("POST").body["note"] == "as asked by Zoë (by local, through airflow-mcp)"


async def test_every_triggered_run_gets_its_own_id_and_a_paused_dag_is_said_to_be_paused() -> None:
    airflow = FakeAirflow().on("GET", "/dags/etl", dag(is_paused=True))
    airflow.on("POST", "/dags/etl/dagRuns", lambda sent: dag_run(sent.body["dag_run_id"], "queued"))
    async with assistant(airflow, allow=ALL) as someone:
        first, second = [await someone.ask("trigger_dag_run", dag_id="etl") for _ in range(2)]
    assert first["dag_run_id"] != second["dag_run_id"]
    assert "paused" in first["hint"]
    assert calls_of(first) == [("unpause_dag", {"dag_id": "etl"})]
    assert not [sent for sent in airflow.sent if sent.method == "PATCH"], "triggering never unpauses"


@pytest.mark.parametrize("version", ["2.7.3", "3.0.6", "3.3.2"])
async def test_the_value_of_a_variable_is_sent_as_json_in_a_text(version: str) -> None:
    """Before 3.3 Airflow stores of an object what Python makes of it, which nobody can read back."""
    value, text = {"doors": 2, "on": True}, '{"doors": 2, "on": true}'
    held = {"key": "oven", "value": text, "description": None}
    airflow = FakeAirflow(version).on("GET", "/variables/oven", held if version[0] == "3" else Reply(404))
    airflow.on("POST", "/variables", held)
    airflow.on("PATCH", "/variables/oven", held)
    async with assistant(airflow, toolsets=("all",), allow=ALL) as someone:
        await someone.ask("create_variable", variable_key="oven", value=value)
        airflow.on("GET", "/variables/oven", held)
        await someone.ask("update_variable", variable_key="oven", value=value)
    assert (airflow.last("POST").body["value"], airflow.last("PATCH").body["value"]) == (text, text)


async def test_the_values_of_many_variables_are_sent_as_json_in_texts() -> None:
    done = {"create": {"success": ["oven"], "errors": []}}
    airflow = FakeAirflow("3.2.2").on("PATCH", "/variables", done)
    async with assistant(airflow, toolsets=("all",), allow=ALL) as someone:
        await someone.ask(
            "bulk_variables",
            create=[{"variable_key": "oven", "value": {"doors": 2}}, {"variable_key": "on", "value": True}],
        )
    (action,) = airflow.last("PATCH").body["actions"]
    assert [(one["key"], one["value"]) for one in action["entities"]] == [("oven", '{"doors": 2}'), ("on", "true")]


@pytest.mark.parametrize(
    ("tool", "old", "new"), [("bulk_variables", "key", "variable_key"), ("bulk_pools", "name", "pool_name")]
)
async def test_an_id_under_its_name_in_airflow_is_answered_with_ours(tool: str, old: str, new: str) -> None:
    airflow = FakeAirflow("3.2.2").otherwise(Reply(404))
    async with assistant(airflow, toolsets=("all",), allow=ALL) as someone:
        words = await someone.refused(tool, update=[{old: "oven", "description": "x"}])
    assert f"unknown argument '{old}'" in words
    assert f"did you mean {new}?" in words
