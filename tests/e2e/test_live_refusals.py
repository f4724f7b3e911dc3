"""What a real Airflow refuses, and what does not exist in it: said in words to act on, with nothing sent in vain."""

from __future__ import annotations

import re

import pytest

from .changes import new_run
from .harness import Json, Site

WRONG = "hunter2-wrong-password"


def test_a_viewer_may_read(site: Site) -> None:
    site.ended("mapped", "map-1")
    assert site.viewer.rows("list_dags") == site.admin.rows("list_dags")
    run = {"dag_id": "mapped", "dag_run_id": "map-1"}
    assert site.viewer.ask("list_task_instances", **run) == site.admin.ask("list_task_instances", **run)
    log = site.viewer.ask("read_task_log", **run, task_id="load", map_index=3)
    assert log["error"].startswith("RuntimeError: cannot load crate 3")


@pytest.mark.parametrize(
    ("tool", "arguments", "request_line"),
    [
        ("trigger_dag_run", {"dag_id": "still", "dag_run_id": "by-viewer"}, "POST {api}/dags/still/dagRuns"),
        ("pause_dag", {"dag_id": "ok"}, "PATCH {api}/dags/ok"),
        ("create_pool", {"pool_name": "by-viewer", "slots": 1}, "POST {api}/pools"),
        ("clear_dag_run", {"dag_id": "ok", "dag_run_id": "ok-1", "dry_run": False}, "POST {api}/dags/ok/dagRuns/"),
        ("delete_dag", {"dag_id": "ok"}, "DELETE {api}/dags/ok"),
    ],
)
def test_a_change_by_a_viewer_is_refused_by_airflow_once_without_another_login(
    site: Site, tool: str, arguments: Json, request_line: str
) -> None:
    site.all_ended()
    site.viewer.ask("get_version")  # logged in from here on
    line = request_line.format(api="/api/v1" if site.is_old else "/api/v2")
    before = site.requests()
    assert before, "Airflow writes down what it is asked"
    if tool == "delete_dag":  # its preview only reads, which a viewer may
        arguments = arguments | {"plan": site.viewer.planned(tool, **arguments)}
    words = site.viewer.refusal(tool, **arguments)
    assert f"Airflow refuses {tool} to the user this server acts as (403)" in words
    later = site.requests()[len(before) :]
    assert len([asked for asked in later if asked.startswith(line)]) <= 1
    assert "POST /auth/token" not in later
    assert site.held("/dags/ok")["is_paused"] is False
    assert site.held("/dags/ok/dagRuns/ok-1")["state"] == "success"
    assert site.rest("GET", "/dags/still/dagRuns/by-viewer")[0] == 404
    assert site.rest("GET", "/pools/by-viewer")[0] == 404


def test_a_wrong_password_is_one_short_answer_that_never_says_the_password(site: Site) -> None:
    talker = site.talker("wrong", password=WRONG)
    before = len(site.requests())
    words = [talker.refusal("list_dags"), talker.refusal("get_dag", dag_id="ok")]
    for one in words:
        (seconds,) = re.findall(r" It is not tried again for (\d+) s, or until a reload \(SIGHUP\)\.$", one)
        assert 0 < int(seconds) <= 60
    (said,) = {one.partition(" It is not tried again ")[0] for one in words}
    assert said.startswith("Airflow does not accept user 'admin' with the configured password.")
    assert "AIRFLOW_MCP_PASSWORD" in said
    assert "\n" not in said
    assert WRONG not in said
    assert WRONG not in talker.stderr
    assert site.requests()[before:].count("POST /auth/token") <= 1, "a login that was refused is not repeated"


def test_a_server_without_credentials_says_which_settings_to_make(site: Site) -> None:
    words = site.talker("nobody", user="", password="").refusal("list_dags")
    assert "AIRFLOW_MCP_USERNAME and AIRFLOW_MCP_PASSWORD, or AIRFLOW_MCP_TOKEN" in words


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("get_dag", {}),
        ("get_dag_source", {}),
        ("list_tasks", {}),
        ("list_dag_runs", {}),
        ("list_dag_warnings", {}),
        ("list_event_logs", {}),
        ("list_task_instances", {"dag_run_id": "ok-1"}),
        ("list_xcoms", {"dag_run_id": "ok-1", "task_id": "produce"}),
        ("read_task_log", {"dag_run_id": "ok-1", "task_id": "produce"}),
    ],
)
def test_reading_of_a_dag_that_does_not_exist_is_an_error_with_the_near_name(
    site: Site, tool: str, arguments: Json
) -> None:
    assert site.admin.sentence(tool, dag_id="okk", **arguments) == "There is no DAG 'okk'. Did you mean ok?"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("trigger_dag_run", {}), ("pause_dag", {}), ("delete_dag", {}), ("clear_task_instances", {"dag_run_id": "ok-1"})],
)
def test_changing_a_dag_that_does_not_exist_is_an_error_with_the_near_name(
    site: Site, tool: str, arguments: Json
) -> None:
    # Another name than above: Airflow 2 writes down the attempt, and then has event logs of that name.
    assert site.admin.sentence(tool, dag_id="okq", **arguments) == "There is no DAG 'okq'. Did you mean ok?"


@pytest.mark.parametrize(
    ("tool", "more"),
    [
        ("get_dag_run", {}),
        ("wait_for_dag_run", {}),
        ("list_task_instances", {}),
        ("list_task_instance_tries", {"task_id": "produce"}),
        ("list_xcoms", {"task_id": "produce"}),
        ("get_xcom", {"task_id": "produce", "xcom_key": "return_value"}),
        ("read_task_log", {"task_id": "produce"}),
        ("set_task_instance_state", {"task_id": "produce", "new_state": "failed"}),
        ("clear_task_instances", {}),
        ("delete_dag_run", {}),
    ],
)
def test_a_run_that_does_not_exist_is_an_error_with_the_latest_ones(site: Site, tool: str, more: Json) -> None:
    words = site.admin.sentence(tool, dag_id="ok", dag_run_id="nope", **more)
    assert words == "DAG 'ok' has no run 'nope'. Its latest runs: ok-3, ok-2, ok-1."


@pytest.mark.parametrize("tool", ["get_task_instance", "list_task_instance_tries", "read_task_log"])
def test_a_task_that_does_not_exist_is_an_error_with_the_near_name(site: Site, tool: str) -> None:
    site.ended("ok", "ok-1")
    words = site.admin.sentence(tool, dag_id="ok", dag_run_id="ok-1", task_id="prodce")
    assert words == "There is no task of DAG 'ok' named 'prodce'. Did you mean produce?"


def test_a_pool_an_xcom_and_an_import_error_that_do_not_exist_are_errors(site: Site) -> None:
    site.ended("ok", "ok-1")
    task = {"dag_id": "ok", "dag_run_id": "ok-1", "task_id": "produce"}
    assert "Did you mean default_pool?" in site.admin.refusal("get_pool", pool_name="default_pol")
    assert "XCom" in site.admin.refusal("get_xcom", **task, xcom_key="nope")
    assert "4711" in site.admin.refusal("get_import_error", import_error_id=4711)


def test_an_unlimited_pool_is_refused_where_it_would_break_the_list_of_pools(site: Site) -> None:
    site.change("POST", "/pools", {"name": "bounded", "slots": 2, "include_deferred": False})
    try:
        if site.is_old:  # Airflow 2 fails to answer any list of pools that holds an unlimited one
            words = site.admin.refusal("update_pool", pool_name="bounded", slots=-1)
            assert "2.11" in words
        else:
            assert site.admin.ask("update_pool", pool_name="bounded", slots=-1)["slots"] == -1
        assert site.rest("GET", "/pools")[0] == 200
        assert "bounded" in {row["name"] for row in site.admin.rows("list_pools")}
    finally:
        site.change("DELETE", "/pools/bounded")


def test_a_tilde_means_every_dag_or_run(site: Site) -> None:
    site.all_ended()
    runs = site.admin.rows("list_dag_runs", dag_id="~")
    assert {"ok", "mapped", "a.b-c"} <= {row["dag_id"] for row in runs}
    tasks = site.admin.rows("list_task_instances", dag_id="~", dag_run_id="~", state=["failed"])
    failed = {(row["dag_id"], row["dag_run_id"], row["task_id"]) for row in tasks}
    assert {("mapped", "map-1", "load"), ("noisy", "loud-1", "count_waves")} <= failed
    one_dag = site.admin.rows("list_task_instances", dag_id="ok", dag_run_id="~")
    assert {row["dag_run_id"] for row in one_dag} == {"ok-1", "ok-2", "ok-3"}
    xcoms = site.admin.rows("list_xcoms", dag_id="~", dag_run_id="~", task_id="~")
    assert {"produce", "load", "leak"} <= {row["task_id"] for row in xcoms}


def test_xcoms_of_every_run_say_which_run_each_belongs_to(site: Site) -> None:
    site.all_ended()
    rows = site.admin.rows("list_xcoms", dag_id="ok", dag_run_id="~", task_id="produce")
    runs = {row.get("dag_run_id") or row.get("logical_date") for row in rows if row["key"] == "return_value"}
    assert len(runs - {None}) == 3


def test_a_filter_airflow_2_lacks_is_refused_there_and_works_on_3(site: Site) -> None:
    new_run(site, "filtered")
    arguments: Json = {"dag_id": "still", "run_id_pattern": "filter"}
    if site.is_old:
        words = site.admin.refusal("list_dag_runs", **arguments)
        assert "run_id_pattern needs Airflow 3.1 or newer; this is Airflow 2.11" in words
    else:
        assert [row["dag_run_id"] for row in site.admin.rows("list_dag_runs", **arguments)] == ["filtered"]
