"""A DAG at a glance on both generations: what it says, what it may not say, and what it costs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.permissions.support import NO_PAYROLL, connected
from tests.unit.assistant import GENERATIONS, Assistant, Json, assistant, calls_of
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import dag, dag_run, dag_run_v1, dag_v1, page, task_instance

pytestmark = pytest.mark.anyio
BUDGET = 3_000
SENSORS = "DAGs whose sensors wait for this one: Airflow's API does not say."


def param(value: Any = None, description: str | None = None, **schema: Any) -> Json:
    """A param as both generations describe it."""
    return {"value": value, "description": description, "schema": schema}


def task(task_id: str, *downstream: str, operator: str = "PythonOperator", **fields: Any) -> Json:
    """A task as both generations describe it."""
    return {
        "task_id": task_id,
        "downstream_task_ids": list(downstream),
        "operator_name": operator,
        "class_ref": {"module_path": "airflow.operators", "class_name": operator},
        "is_mapped": False,
        "trigger_rule": "all_success",
        "pool": "default_pool",
        "retries": 0.0,
    } | fields


def airflow_with(
    version: str,
    *tasks: Json,
    details: Json | None = None,
    runs: list[Json] | None = None,
    assets: list[Json] | None = None,
) -> FakeAirflow:
    """An Airflow with DAG etl."""
    new = version.startswith("3")
    airflow = FakeAirflow(version)
    record = (dag if new else dag_v1)(dag_id="etl", is_paused=False)
    airflow.on("GET", "/dags/etl", record)
    mine = {} if new else {"owners": [], "max_active_runs": 16}  # 2.x has the owners in the DAG alone
    airflow.on("GET", "/dags/etl/details", record | mine | {"params": {}, "timezone": "UTC"} | (details or {}))
    run = dag_run if new else dag_run_v1
    airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", runs if runs is not None else [run("r2", "success")]))
    airflow.on("GET", "/dags/etl/tasks", page("tasks", list(tasks or [task("load")])))
    name = "assets" if new else "datasets"
    return airflow.on("GET", f"/{name}", page(name, assets or []))


async def overview(airflow: FakeAirflow, **arguments: Any) -> Json:
    async with assistant(airflow) as someone:
        return await someone.ask("get_dag_overview", dag_id="etl", **arguments)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_one_call_tells_when_it_runs_who_owns_it_how_it_went_and_what_it_does(version: str) -> None:
    run = dag_run if version.startswith("3") else dag_run_v1
    ends = {"start_date": "2026-11-21T22:46:00Z", "end_date": "2026-11-21T22:46:10Z"}
    runs = [run("r3", "running", start_date="2026-11-21T23:00:00Z", end_date=None)]
    runs += [run("r2", "success", **ends), run("r1", "failed", **ends)]
    tasks = (task("load"), task("extract", "clean", "check"), task("clean", "load"), task("check", "load"))
    airflow = airflow_with(version, *tasks, runs=runs)
    answer = await overview(airflow)
    assert answer == {
        "dag_id": "etl",
        "is_paused": False,
        "is_stale": False,
        "has_import_errors": False,
        "description": "Exports the day's orders.",
        "schedule": "15 0 * * * (At 15 minutes past the hour)",
        "next_run_after": "2026-11-22T00:15:00Z",
        "max_active_runs": 16,
        "owners": ["airflow"],
        "tags": ["finance", "daily"],
        "runs": {
            "total": 3,
            "states_of_latest_3": {"running": 1, "success": 1, "failed": 1},
            "median_seconds_of_success": 10,
            "columns": ["dag_run_id", "state", "start_date", "seconds"],
            "rows": [
                ["r3", "running", "2026-11-21T23:00:00Z", None],
                ["r2", "success", "2026-11-21T22:46:00Z", 10],
                ["r1", "failed", "2026-11-21T22:46:00Z", 10],
            ],
        },
        "tasks": {
            "total": 4,
            "levels": 3,
            "columns": ["task_id", "operator", "downstream", "special"],
            "rows": [
                ["extract", "PythonOperator", ["clean", "check"], None],
                ["clean", "PythonOperator", ["load"], None],
                ["check", "PythonOperator", ["load"], None],
                ["load", "PythonOperator", [], None],
            ],
        },
    }
    assert len(airflow.sent) == (4 if version.startswith("3") else 5)
    assert airflow.last("GET", "/dags/etl/dagRuns").asked["limit"] == "10"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_params_are_told_with_type_default_and_what_is_required_first(version: str) -> None:
    params = {
        "loaves": param(6, "How many.", type="integer", minimum=1, maximum=12),
        "day": param(None, type="string", format="date"),
        "note": param(None, type=["null", "string"]),
        "flag": param(True),
        "kind": param("rye", enum=["rye", "oat"]),
        "db_password": param("hunter2", type="string"),
        "anything": param(),
    }
    answer = await overview(airflow_with(version, details={"params": params}))
    assert list(answer["params"]) == ["day", "loaves", "note", "flag", "kind", "db_password", "anything"]
    assert answer["params"] == {
        "day": {"type": "string", "required": True, "format": "date"},
        "loaves": {"type": "integer", "default": 6, "minimum": 1, "maximum": 12, "about": "How many."},
        "note": {"type": "null or string"},
        "flag": {"type": "boolean", "default": True},
        "kind": {"type": "string", "default": "rye", "enum": ["rye", "oat"]},
        "db_password": {"type": "string", "default": "***"},
        "anything": {},
    }


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_is_special_about_a_task_is_said(version: str) -> None:
    tasks = (
        task("each", "any", is_mapped=True, retries=2.0),
        task("any", trigger_rule="one_failed", pool="small"),
    )
    rows = (await overview(airflow_with(version, *tasks)))["tasks"]["rows"]
    assert [row[3] for row in rows] == ["mapped, 2 retries", "one_failed, pool small"]


async def test_a_decorated_task_of_2x_is_told_as_3x_tells_it() -> None:
    airflow = airflow_with("2.11.2", task("load", operator="_PythonDecoratedOperator"))
    assert (await overview(airflow))["tasks"]["rows"] == [["load", "@task", [], None]]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_assets_before_and_after_are_told_with_the_dags_behind_them(version: str) -> None:
    def asset(name: str, scheduled: list[str], writers: list[str], readers: list[str]) -> Json:
        named = {"uri": name} | ({"name": name} if version.startswith("3") else {})
        key = "scheduled_dags" if version.startswith("3") else "consuming_dags"
        tasks = {"producing_tasks": [{"dag_id": one, "task_id": "t"} for one in writers]}
        if version.startswith("3"):
            tasks["consuming_tasks"] = [{"dag_id": one, "task_id": "t"} for one in readers]
        return named | {key: [{"dag_id": one} for one in scheduled]} | tasks

    new = version.startswith("3")
    leaves: list[Any] = [{"asset": {"uri": name, "name": name, "group": "asset"}} for name in ("s3://a", "s3://b")]
    expression = {"any": [{"all": leaves if new else ["s3://a", "s3://b"]}, {"alias": {"name": "c"} if new else "c"}]}
    assets = [
        asset("s3://a", ["etl"], ["maker", "etl_too"], []),
        asset("s3://b", ["etl", "other"], [], []),
        asset("s3://out", ["report"], ["etl"], ["peek"]),
    ]
    airflow = airflow_with(
        version,
        details={"asset_expression" if new else "dataset_expression": expression, "timetable_description": "x"},
        assets=assets,
    )
    answer = await overview(airflow)
    assert answer["schedule"] == "assets: (s3://a AND s3://b) OR alias c"
    assert answer["upstream"] == [{"asset": "s3://a", "written_by": ["etl_too", "maker"]}, {"asset": "s3://b"}]
    after = {"asset": "s3://out", "starts": ["report"]}
    assert answer["downstream"] == [after | ({"read_by": ["peek"]} if new else {})]
    listed = [sent.query for sent in airflow.sent if sent.path in ("/assets", "/datasets")]
    ours = [("dag_ids", "peek"), ("dag_ids", "report")] if new else [("dag_ids", "report")]
    assert [[pair for pair in query if pair[0] == "dag_ids"] for query in listed] == [[("dag_ids", "etl")], ours]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_dags_that_tasks_trigger_or_wait_for_are_read_from_a_run(version: str) -> None:
    tasks = (
        task("wait", "start", operator="ExternalTaskSensor"),
        task("start", operator="TriggerDagRunOperator", is_mapped=True),
    )
    run = dag_run if version.startswith("3") else dag_run_v1
    runs = [run("r3", "queued", start_date=None, end_date=None), run("r2", "success")]
    airflow = airflow_with(version, *tasks, runs=runs)
    path = "/dags/etl/dagRuns/r2/taskInstances"
    airflow.on("GET", f"{path}/wait", task_instance("wait", rendered_fields={"external_dag_id": "orders"}))
    airflow.on("GET", f"{path}/start/0", task_instance("start", rendered_fields={"trigger_dag_id": "report"}))
    airflow.on("GET", "/dags/report/tasks", page("tasks", [task("print")]))
    answer = await overview(airflow)
    assert answer["upstream"] == [{"dag": "orders", "by_task": "wait"}]
    assert answer["downstream"] == [{"dag": "report", "by_task": "start"}]
    assert answer["not_seen"] == [SENSORS]
    assert answer["downstream"] == [{"dag": "report", "by_task": "start"}]
    assert len(airflow.sent) == 2 + (6 if version.startswith("3") else 7)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_dags_that_no_run_names_are_said_to_be_unknown(version: str) -> None:
    tasks = [task(f"go{number}", operator="TriggerDagRunOperator") for number in range(7)]
    airflow = airflow_with(version, *tasks, runs=[])
    assert (await overview(airflow))["not_seen"] == ["Which DAG go0, go1, go2, go3, go4 points to: no run tells yet."]
    ran = airflow_with(version, *tasks)
    answer = await overview(ran)
    assert "downstream" not in answer
    assert len(ran.sent) <= 8


async def test_a_run_that_another_dag_triggered_says_that_there_is_one() -> None:
    answer = await overview(airflow_with("3.3.2", runs=[dag_run("r", "success", triggered_by="operator")]))
    assert answer["not_seen"] == ["A task of another DAG triggers this one; Airflow's API does not say which."]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_failed_latest_run_is_followed_by_its_diagnosis(version: str) -> None:
    answer = await overview(airflow_with(version, runs=[dag_run("r2", "failed"), dag_run("r1", "success")]))
    assert calls_of(answer) == [("diagnose_dag_run", {"dag_id": "etl", "dag_run_id": "r2"})]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_could_not_be_read_is_said_and_the_rest_is_told(version: str) -> None:
    airflow = airflow_with(version)
    for path in ("/assets", "/datasets", "/dags/etl/tasks", "/dags/etl/dagRuns"):
        airflow.on("GET", path, Reply(403, {"detail": "Forbidden", "title": "Forbidden"}))
    answer = await overview(airflow)
    assert answer["schedule"].startswith("15 0")
    assert [sentence.partition(":")[0] for sentence in answer["not_seen"]] == ["runs", "tasks", "assets"]
    assert not {"runs", "tasks", "upstream"} & set(answer)


async def test_an_airflow_that_cannot_filter_datasets_gives_the_first_ones_and_says_so() -> None:
    mine, other = ({"uri": f"s3://{one}", "consuming_dags": [{"dag_id": one}]} for one in ("etl", "other"))
    airflow = airflow_with("2.8.4").on("GET", "/datasets", page("datasets", [mine, other], 140))
    answer = await overview(airflow)
    assert answer["upstream"] == [{"asset": "s3://etl"}]
    assert answer["not_seen"] == ["assets: only 2 of 140 were looked at."]
    assert "dag_ids" not in airflow.last("GET", "/datasets").asked


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dag_that_airflow_has_dropped_is_told_by_what_is_left_of_it(version: str) -> None:
    airflow = airflow_with(version)
    stale = {"is_stale": True} if version.startswith("3") else {"is_active": False}
    record = (dag if version.startswith("3") else dag_v1)(dag_id="etl", has_import_errors=True, **stale)
    airflow.on("GET", "/dags/etl", record)
    for path in ("/dags/etl/details", "/dags/etl/tasks"):
        airflow.on("GET", path, Reply(404, {"detail": "The DAG was not found", "title": "DAG not found"}))
    answer = await overview(airflow)
    assert (answer["is_stale"], answer["has_import_errors"], answer["runs"]["total"]) == (True, True, 1)
    assert calls_of(answer) == [("why_not_running", {"dag_id": "etl"})]
    assert [sentence.partition(":")[0] for sentence in answer["not_seen"]] == ["tasks"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_unknown_dag_is_two_requests_and_the_look_for_near_names(version: str) -> None:
    airflow = airflow_with(version).on("GET", "/dags", page("dags", [dag(dag_id="etl")]))
    async with assistant(airflow) as someone:
        sentence = await someone.refused("get_dag_overview", dag_id="elt")
    assert "Did you mean etl?" in sentence
    assert airflow.lines()[:2] == ["GET /dags/elt/details", "GET /dags/elt"]
    assert not [line for line in airflow.lines() if "Runs" in line or "sets" in line]


def big(version: str, tasks: int = 600) -> FakeAirflow:
    """A DAG of hundreds of tasks with long names, runs, params and assets."""
    names = [f"transform_table_number_{number:04d}" for number in range(tasks)]
    chain = [
        task(name, *names[number + 7 : number + 9], operator="BashOperator", is_mapped=number % 5 == 0)
        for number, name in enumerate(names)
    ]
    run = dag_run if version.startswith("3") else dag_run_v1
    runs = [run(f"scheduled__2026-11-{day:02d}T00:00:00+00:00", "success") for day in range(20, 10, -1)]
    params = {f"parameter_{number}": param(number, "It decides on something. " * 5) for number in range(40)}
    key = "scheduled_dags" if version.startswith("3") else "consuming_dags"
    assets: list[Json] = [
        {"uri": f"s3://bucket/{number}.csv", key: [{"dag_id": "etl"}], "producing_tasks": []} for number in range(60)
    ]
    return airflow_with(version, *chain, runs=runs, details={"params": params}, assets=assets)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_big_dag_is_told_by_its_shape_within_the_budget(version: str) -> None:
    airflow = big(version)
    answer = await overview(airflow)
    assert len(json.dumps(answer, ensure_ascii=False, separators=(",", ":"))) <= BUDGET
    tasks = answer["tasks"]
    assert (tasks["total"], tasks["mapped"], tasks["operators"]) == (600, 120, {"BashOperator": 600})
    assert tasks["roots"][:2] == ["transform_table_number_0000", "transform_table_number_0001"]
    assert tasks["leaves"][-1] == "transform_table_number_0599"
    assert answer["left_out"]["tasks"] == 600 - len(tasks["rows"])
    assert answer["left_out"]["params"] == 40 - len(answer["params"])
    assert answer["left_out"]["upstream"] == 60 - len(answer["upstream"])
    assert len(answer["runs"]["rows"]) >= 5
    assert ("list_tasks", {"dag_id": "etl"}) in calls_of(answer)
    assert len(airflow.sent) <= 8


async def test_more_characters_bring_more_of_it() -> None:
    few, many = await overview(big("3.3.2")), await overview(big("3.3.2"), max_chars=100_000)
    assert len(many["tasks"]["rows"]) == 600 > len(few["tasks"]["rows"])
    assert len(many["params"]) == 40
    assert "left_out" not in many
    tiny = await overview(big("3.3.2"), max_chars=600)
    assert len(json.dumps(tiny, ensure_ascii=False, separators=(",", ":"))) <= 600
    assert tiny["dag_id"] == "etl"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dag_that_policy_hides_is_not_named_beside_another(version: str) -> None:
    new = version.startswith("3")
    key = "scheduled_dags" if new else "consuming_dags"
    assets: list[Json] = [
        {"uri": "s3://a", key: [{"dag_id": "etl"}], "producing_tasks": [{"dag_id": "payroll_x", "task_id": "t"}]}
    ]
    tasks = (task("go", operator="TriggerDagRunOperator"),)
    airflow = airflow_with(version, *tasks, assets=assets)
    path = "/dags/etl/dagRuns/r2/taskInstances/go"
    airflow.on("GET", path, task_instance("go", rendered_fields={"trigger_dag_id": "payroll_y"}))
    async with connected(airflow, {"deny": [NO_PAYROLL]}) as someone:
        answer = await someone.ask("get_dag_overview", dag_id="etl")
        assert "payroll" not in json.dumps(answer)
        assert answer["upstream"] == [{"asset": "s3://a"}]
        await nothing_is_read_of(someone, airflow, "payroll_x")


async def nothing_is_read_of(someone: Assistant, airflow: FakeAirflow, dag_id: str) -> None:
    before = len(airflow.sent)
    assert "denies it" in await someone.refused("get_dag_overview", dag_id=dag_id)
    assert len(airflow.sent) == before


@pytest.mark.parametrize(
    ("interval", "schedule"),
    [
        ({"__type": "CronExpression", "value": "0 3 * * *"}, "0 3 * * * (words)"),
        ({"__type": "TimeDelta", "days": 1, "seconds": 0, "microseconds": 0}, "every 1 days 0 seconds (words)"),
        (None, "words"),
    ],
)
async def test_every_kind_of_schedule_of_2x_is_told(interval: Json | None, schedule: str) -> None:
    details = {"schedule_interval": interval, "timetable_description": "words"}
    assert (await overview(airflow_with("2.11.2", details=details)))["schedule"] == schedule
