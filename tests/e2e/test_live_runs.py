"""Runs on a real Airflow: triggered, waited for, run again; and lists walked to their end, newest first."""

from __future__ import annotations

from typing import Any

import pytest

from .changes import new_run
from .harness import PATIENCE, Heard, Json, Site


def wait(site: Site, run: Json) -> tuple[Json, Heard]:
    """The answer of wait_for_dag_run and the progress heard meanwhile."""
    heard: Heard = []
    result = site.admin.result("wait_for_dag_run", {**run, "timeout_seconds": PATIENCE}, heard)
    assert result.structured_content is not None
    return result.structured_content, heard


def test_a_run_of_a_paused_dag_starts_when_unpaused_and_runs_again_when_cleared(site: Site) -> None:
    run = {"dag_id": "pausing", "dag_run_id": "first-time"}
    made = site.admin.ask("trigger_dag_run", **run)
    assert (made["state"], made["next"][0]["tool"] == "unpause_dag") == ("queued", True)
    stuck, heard = wait(site, run)
    assert (stuck["finished"], stuck["state"], stuck["tasks"]) == (False, "queued", {"none": 1})
    assert "The DAG is paused" in stuck["hint"]
    assert heard == [(0, 1, "queued: 1 none")]
    site.admin.ask("unpause_dag", dag_id="pausing")
    ended, heard = wait(site, run)
    assert (ended["finished"], ended["state"], ended["tasks"]) == (True, "success", {"success": 1})
    assert heard[-1] == (1, 1, "success: 1 success")
    assert [done for done, _, _ in heard] == sorted(done for done, _, _ in heard)
    cleared = site.admin.ask("clear_task_instances", **run, only_failed=False, dry_run=False)
    assert (cleared["done"], cleared["total"]) == (True, 1)
    again, _ = wait(site, run)
    assert (again["finished"], again["state"]) == (True, "success")
    tries = site.admin.rows("list_task_instance_tries", **run, task_id="step")
    assert [row["try_number"] for row in tries] == [2, 1]
    for number in (1, 2):
        log = site.admin.ask("read_task_log", **run, task_id="step", try_number=number)
        assert (log["try_number"], "stepped" in log["tail"]) == (number, True)


def test_waiting_for_a_run_that_failed_names_what_failed(site: Site) -> None:
    site.ended("mapped", "map-1")
    answer, heard = wait(site, {"dag_id": "mapped", "dag_run_id": "map-1"})
    assert (answer["state"], answer["failed_tasks"]) == ("failed", ["load[3]"])
    assert heard == [(6, 6, "failed: 1 failed, 4 success, 1 upstream_failed")]


def test_waiting_ends_when_the_caller_said_with_the_run_going_on(site: Site) -> None:
    run = new_run(site, "endless", dag_id="doubtful_a")  # its pool does not exist, so its task never runs
    site.change("PATCH", "/dags/doubtful_a", {"is_paused": False})
    answer = site.admin.ask("wait_for_dag_run", **run, timeout_seconds=1)
    assert answer["finished"] is False
    assert "Not finished after 1 seconds" in answer["hint"]


def test_a_conf_that_breaks_the_params_is_refused_before_anything_is_sent(site: Site) -> None:
    run = {"dag_id": "params", "dag_run_id": "too-many"}
    words = site.admin.refusal("trigger_dag_run", **run, conf={"loaves": 99})
    assert "conf.loaves: 99 does not fit" in words
    assert '"maximum":12' in words
    words = site.admin.refusal("trigger_dag_run", **run, conf={"flour": "sand"})
    assert "conf.flour" in words
    assert '"rye","wheat"' in words
    assert site.rest("GET", "/dags/params/dagRuns/too-many")[0] == 404


def test_a_run_id_that_exists_is_refused_and_the_run_is_as_it_was(site: Site) -> None:
    run = new_run(site, "twice")
    before = site.held("/dags/still/dagRuns/twice")
    words = site.admin.refusal("trigger_dag_run", **run, conf={"other": 1})
    assert "(409)" in words
    assert "already exists" in words
    assert site.held("/dags/still/dagRuns/twice") == before


@pytest.mark.parametrize("run_id", ["with space", "slash/ed", "Zürich"])
def test_a_run_id_airflow_does_not_allow_is_refused_naming_it(site: Site, run_id: str) -> None:
    words = site.admin.refusal("trigger_dag_run", dag_id="still", dag_run_id=run_id)
    assert run_id in words
    assert "~" in words or "must not contain '/'" in words, "the characters that are allowed"


@pytest.mark.parametrize("run_id", ["manual__2026-01-01T00:00:00+00:00", "x~y:z+1", "a.b-c_d"])
def test_a_run_with_every_allowed_character_in_its_id_can_be_triggered_changed_and_deleted(
    site: Site, run_id: str
) -> None:
    run = {"dag_id": "still", "dag_run_id": run_id}
    assert site.admin.ask("trigger_dag_run", **run)["dag_run_id"] == run_id
    assert site.admin.ask("set_dag_run_state", **run, state="failed")["state"] == "failed"
    assert site.admin.ask("clear_dag_run", **run)["total"] == 4
    tasks = site.admin.rows("list_task_instances", **run)
    assert {row["task_id"] for row in tasks} == {"first", "each"}
    assert site.admin.ask("delete_dag_run", **run)["done"] is True
    assert f"has no run {run_id!r}" in site.admin.refusal("get_dag_run", **run)


PRODUCED: Json = {"dag_id": "ok", "dag_run_id": "ok-1", "task_id": "produce"}


def walked(site: Site, tool: str, arguments: Json) -> list[Any]:
    """The first column of every row of a list, one row a page, by following `more`."""
    ids: list[Any] = []
    page: Json | None = {}
    while page is not None:
        answer = site.reader.ask(tool, **arguments, limit=1, **page)
        assert len(answer["rows"]) == 1
        ids.append(answer["rows"][0][0])
        assert answer.get("left_out", 0) == answer["total"] - len(ids)
        page = answer.get("more")
    return ids


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("list_dag_runs", {"dag_id": "ok"}),
        ("list_dags", {}),
        ("list_tasks", {"dag_id": "mapped"}),
        ("list_providers", {}),
        ("list_xcoms", PRODUCED),
    ],
)
def test_following_next_a_row_at_a_time_gives_every_row_once_in_order(site: Site, tool: str, arguments: Json) -> None:
    site.all_ended()
    at_once = [row[0] for row in site.reader.ask(tool, **arguments)["rows"]]
    assert len(set(at_once)) == len(at_once) >= 2
    assert walked(site, tool, arguments) == at_once


# Tool, arguments, and the column it is ordered by on 3.x and on 2.x (None: 2.x gives no order).
NEWEST_FIRST: list[tuple[str, Json, str, str | None]] = [
    ("list_dag_runs", {"dag_id": "~"}, "run_after", "logical_date"),
    ("list_dag_runs", {"dag_id": "ok"}, "run_after", "logical_date"),
    ("list_event_logs", {}, "when", "event_log_id"),
    ("list_import_errors", {}, "timestamp", "timestamp"),
    ("list_dag_warnings", {}, "timestamp", "timestamp"),
    ("list_task_instances", {"dag_id": "mapped", "dag_run_id": "map-1"}, "start_date", None),
    ("list_xcoms", PRODUCED, "timestamp", None),
]


@pytest.mark.parametrize(("tool", "arguments", "column", "column_of_2"), NEWEST_FIRST)
def test_a_list_with_a_time_is_newest_first(
    site: Site, tool: str, arguments: Json, column: str, column_of_2: str | None
) -> None:
    site.all_ended()
    rows = site.reader.rows(tool, **arguments)
    assert len(rows) >= 2
    if by := column_of_2 if site.is_old else column:
        assert [row[by] for row in rows] == sorted((row[by] for row in rows), reverse=True)
