"""One vocabulary for both generations: 2.x answers in 3.x's names, and each generation gets the request it expects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.assistant import GENERATIONS, assistant, table
from tests.unit.fake_airflow import FakeAirflow, Sent
from tests.unit.samples import dag, dag_run, dag_run_v1, dag_v1, page, pool, task_instance

pytestmark = pytest.mark.anyio
TASK = {"dag_id": "etl", "dag_run_id": "r", "task_id": "load"}
TASK_PATH = "/dags/etl/dagRuns/r/taskInstances/load"


async def request_of(version: str, tool: str, arguments: dict[str, Any], reply: Any) -> Sent:
    """The one request a call makes."""
    airflow = FakeAirflow(version).otherwise(reply)
    async with assistant(airflow, allow=("*",)) as someone:
        await someone.ask(tool, **arguments)
    (sent,) = airflow.sent
    return sent


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dag_reads_the_same_from_both_generations(version: str) -> None:
    record = dag(5) if version.startswith("3") else dag_v1(5)
    airflow = FakeAirflow(version).on("GET", "/dags", page("dags", [record])).on("GET", "/dags/etl", record)
    async with assistant(airflow) as someone:
        one = await someone.ask("get_dag", dag_id="etl")
        row = table(await someone.ask("list_dags", fields=["next_dagrun_run_after", "is_stale"]))[0]
    for shown in (one, row):
        assert shown["timetable_summary"] == "15 5 * * *"
        assert shown["tags"] == ["marketing", "daily"]
        assert shown["next_dagrun_run_after"] == "2026-11-22T05:15:00Z"
        assert shown["is_stale"] is False
    assert one["next_dagrun_logical_date"] == "2026-11-22T05:15:00Z"
    assert not {"is_active", "schedule_interval", "next_dagrun", "next_dagrun_create_after"} & one.keys()


@pytest.mark.parametrize(("is_active", "is_stale"), [(True, False), (False, True)])
async def test_inactive_of_2x_is_stale(is_active: bool, is_stale: bool) -> None:
    airflow = FakeAirflow("2.11.2").on("GET", "/dags/etl", dag_v1(is_active=is_active))
    async with assistant(airflow) as someone:
        assert (await someone.ask("get_dag", dag_id="etl"))["is_stale"] is is_stale


async def test_a_dag_without_schedule_has_none_in_both() -> None:
    airflow = FakeAirflow("2.11.2").on("GET", "/dags/etl", dag_v1(schedule_interval=None, tags=[]))
    async with assistant(airflow) as someone:
        answer = await someone.ask("get_dag", dag_id="etl")
    assert "timetable_summary" not in answer
    assert answer["tags"] == []


@pytest.mark.parametrize(
    ("version", "record", "logical_date"),
    [
        ("2.11.2", dag_run_v1("r"), "2026-11-21T22:55:32.045902Z"),
        ("2.7.3", dag_run_v1("r", logical_date=None), "2026-11-21T22:55:32.045902Z"),
        ("3.3.2", dag_run("r", logical_date="2026-11-21T22:55:32.045902Z"), "2026-11-21T22:55:32.045902Z"),
        ("3.3.2", dag_run("r"), None),
    ],
)
async def test_a_run_has_a_logical_date_and_no_execution_date(
    version: str, record: dict[str, Any], logical_date: str | None
) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/etl/dagRuns/r", record)
    async with assistant(airflow) as someone:
        answer = await someone.ask("get_dag_run", dag_id="etl", dag_run_id="r", fields=["*"])
    assert answer.get("logical_date") == logical_date
    assert "execution_date" not in answer


async def test_task_instances_tasks_and_xcoms_of_2x_have_the_names_of_3x() -> None:
    instance = task_instance(execution_date="2026-11-21T00:00:00+00:00", operator="BashOperator")
    del instance["operator_name"], instance["logical_date"]
    task = {"task_id": "load", "class_ref": {"class_name": "BashOperator", "module_path": "x"}}
    airflow = FakeAirflow("2.11.2").on("GET", TASK_PATH, instance)
    airflow.on("GET", "/dags/etl/tasks", page("tasks", [task]))
    async with assistant(airflow) as someone:
        one = await someone.ask("get_task_instance", **TASK, fields=["logical_date"])
        row = table(await someone.ask("list_tasks", dag_id="etl"))[0]
    assert one["operator_name"] == row["operator_name"] == "BashOperator"
    assert one["logical_date"] == "2026-11-21T00:00:00Z"
    assert "map_index" not in one, "-1 only means that there is none"


async def test_the_run_of_an_xcom_and_of_an_event_has_one_name() -> None:
    entry = {"dag_id": "etl", "run_id": "r", "task_id": "load", "key": "rows", "map_index": 0, "value": 3}
    event = {"event_log_id": 1, "when": "2026-11-21T00:00:00Z", "event": "e", "dag_id": "etl", "run_id": "r"}
    airflow = FakeAirflow().on("GET", f"{TASK_PATH}/xcomEntries/rows", entry)
    airflow.on("GET", "/eventLogs", page("event_logs", [event]))
    async with assistant(airflow) as someone:
        one = await someone.ask("get_xcom", **TASK, xcom_key="rows")
        row = table(await someone.ask("list_event_logs"))[0]
    assert one["dag_run_id"] == row["dag_run_id"] == "r"
    assert one["map_index"] == 0


LIST_RUNS: dict[str, Any] = {
    "dag_id": "etl",
    "state": ["failed", "queued"],
    "logical_date_gte": "2026-11-21T00:00:00Z",
    "logical_date_lte": "2026-11-22T00:00:00Z",
    "limit": 5,
    "offset": 10,
}


@pytest.mark.parametrize(
    ("version", "dates", "order"),
    [("2.11.2", "execution_date", "-execution_date"), ("3.3.2", "logical_date", "-run_after")],
)
async def test_what_list_dag_runs_sends(version: str, dates: str, order: str) -> None:
    sent = await request_of(version, "list_dag_runs", LIST_RUNS, page("dag_runs", [dag_run()], 11))
    assert sent.line == "GET /dags/etl/dagRuns"
    expected = {"limit": "5", "offset": "10", "order_by": order}
    expected |= {f"{dates}_gte": "2026-11-21T00:00:00Z", f"{dates}_lte": "2026-11-22T00:00:00Z"}
    assert sorted(sent.query) == sorted([*expected.items(), ("state", "failed"), ("state", "queued")])
    assert sent.body is None


@pytest.mark.parametrize(
    ("version", "given", "sent"),
    [
        ("2.11.2", "-logical_date", "-execution_date"),
        ("2.11.2", "run_after", "execution_date"),
        ("2.11.2", "-start_date", "-start_date"),
        ("3.3.2", "-logical_date", "-logical_date"),
        ("3.3.2", "run_after", "run_after"),
    ],
)
async def test_an_order_is_given_in_3xs_names(version: str, given: str, sent: str) -> None:
    arguments = {"dag_id": "etl", "order_by": given}
    request = await request_of(version, "list_dag_runs", arguments, page("dag_runs", [dag_run()]))
    assert request.asked["order_by"] == sent


@pytest.mark.parametrize(("version", "name"), [("2.11.2", "only_active"), ("3.3.2", "exclude_stale")])
async def test_stale_dags_are_left_out_in_the_words_of_the_generation(version: str, name: str) -> None:
    arguments = {"exclude_stale": False, "paused": True, "tags": ["a,b", "c"]}
    sent = await request_of(version, "list_dags", arguments, page("dags", [dag()]))
    expected = [(name, "false"), ("limit", "100"), ("order_by", "dag_id"), ("paused", "true")]
    assert sorted(sent.query) == sorted([*expected, ("tags", "a,b"), ("tags", "c")])


@pytest.mark.parametrize(
    ("version", "query"),
    [
        ("2.11.2", [("limit", "100"), ("state", "failed"), ("state", "none")]),
        ("3.3.2", [("limit", "100"), ("order_by", "-start_date"), ("state", "failed"), ("state", "none")]),
    ],
)
async def test_what_list_task_instances_sends(version: str, query: list[tuple[str, str]]) -> None:
    arguments = {"dag_id": "etl", "dag_run_id": "r", "state": ["failed", "none"]}
    sent = await request_of(version, "list_task_instances", arguments, page("task_instances", [task_instance()]))
    assert sent.line == "GET /dags/etl/dagRuns/r/taskInstances"
    assert sorted(sent.query) == query


@pytest.mark.parametrize(
    ("version", "events", "order"),
    [("2.11.2", ["clear,delete"], "-event_log_id"), ("3.3.2", ["clear", "delete"], "-when")],
)
async def test_what_list_event_logs_sends(version: str, events: list[str], order: str) -> None:
    arguments = {"dag_id": "etl", "dag_run_id": "r", "included_events": ["clear", "delete"]}
    sent = await request_of(version, "list_event_logs", arguments, page("event_logs", [{"event": "clear"}]))
    assert [value for name, value in sent.query if name == "included_events"] == events
    assert dict(sent.query)["run_id"] == "r"
    assert dict(sent.query)["order_by"] == order
    assert "dag_run_id" not in dict(sent.query)


@pytest.mark.parametrize(
    ("version", "query"),
    [("2.11.2", [("stringify", "false")]), ("2.10.5", [("stringify", "false")]), ("2.9.3", []), ("3.0.0", [])],
)
async def test_an_xcom_is_asked_for_as_json_where_the_version_can(version: str, query: list[tuple[str, str]]) -> None:
    sent = await request_of(version, "get_xcom", TASK | {"xcom_key": "rows"}, {"key": "rows", "value": 3})
    assert sent.line == f"GET {TASK_PATH}/xcomEntries/rows"
    assert sent.query == query


@pytest.mark.parametrize("version", GENERATIONS)
async def test_every_read_asks_for_json(version: str) -> None:
    sent = await request_of(version, "get_dag", {"dag_id": "etl"}, dag())
    assert sent.headers["accept"] == "application/json"


async def test_the_source_of_a_dag_is_asked_for_by_its_id_on_3x() -> None:
    arguments = {"dag_id": "etl", "version_number": 2}
    sent = await request_of("3.3.2", "get_dag_source", arguments, {"content": "x = 1", "dag_id": "etl"})
    assert (sent.line, sent.query) == ("GET /dagSources/etl", [("version_number", "2")])


async def test_the_source_of_a_dag_is_asked_for_by_its_file_token_on_2x() -> None:
    airflow = FakeAirflow("2.11.2").on("GET", "/dags/etl", dag_v1())
    airflow.on("GET", f"/dagSources/{dag_v1()['file_token']}", {"content": "x = 1"})
    async with assistant(airflow) as someone:
        answer = await someone.ask("get_dag_source", dag_id="etl")
    assert answer["content"] == "x = 1"
    assert [sent.query for sent in airflow.sent] == [[], []]


async def test_a_pools_answer_is_the_same_from_both_generations() -> None:
    answers: list[Any] = []
    for version in GENERATIONS:
        async with assistant(FakeAirflow(version).on("GET", "/pools/small", pool())) as someone:
            answers.append(await someone.ask("get_pool", pool_name="small"))
    assert answers[0] == answers[1]
    assert answers[0]["slots"] == 3
