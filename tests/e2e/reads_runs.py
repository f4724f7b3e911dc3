"""The rows of tools that read about DAGs, runs, tasks, backfills and questions to people."""

from __future__ import annotations

from datetime import datetime

from .harness import OK_RUNS, Json, Row, Site
from .passing import made, newer, passing_backfill, passing_question, passing_run, taken
from .reads import BROKEN_CRATE

QUESTION: Json = {"subject": "Which flour?", "body": "Rye rises less.", "options": ["rye", "wheat"]}

EXCUSED = {
    "list_dag_reports": "needs Airflow 3.0; this is Airflow",
    "get_external_log_url": "Task log handler does not support external logs",
}
"""Tools that cannot succeed on these Airflows, with what they say: one was dropped in 3.1, one needs a log store."""


def get_dag_stats(site: Site) -> None:
    for run_id in OK_RUNS:
        site.ended("ok", run_id)
    site.ended("mapped", "map-1")
    rows = site.admin.rows("get_dag_stats", dag_ids=["ok", "mapped"])
    counts = {row["dag_id"]: {one["state"]: one["count"] for one in row["stats"]} for row in rows}
    nothing = dict.fromkeys(("queued", "running", "success", "failed"), 0)
    assert counts == {"ok": nothing | {"success": len(OK_RUNS)}, "mapped": nothing | {"failed": 1}}
    if site.is_old:
        assert "dag_ids" in site.admin.refusal("get_dag_stats")
    else:
        assert {"ok", "mapped", "a.b-c"} <= {row["dag_id"] for row in site.admin.rows("get_dag_stats")}


@newer("3.0", dag_id="ok")
def list_dag_versions(site: Site) -> None:
    held = site.held("/dags/ok/dagVersions")
    answer = site.admin.ask("list_dag_versions", dag_id="ok")
    assert answer["total"] == held["total_entries"] >= 1
    latest = site.admin.rows("list_dag_versions", dag_id="ok", bundle_name="dags-folder", limit=1)[0]
    assert latest["version_number"] == max(one["version_number"] for one in held["dag_versions"])
    assert site.admin.rows("list_dag_versions", dag_id="ok", version_number=99) == []
    every = site.admin.ask("list_dag_versions", dag_id="~")
    assert every["total"] == site.held("/dags/~/dagVersions")["total_entries"] > answer["total"]


@newer("3.0", dag_id="ok", version_number=1)
def get_dag_version(site: Site) -> None:
    answer = site.admin.ask("get_dag_version", dag_id="ok", version_number=1)
    assert (answer["dag_id"], answer["version_number"], answer["bundle_name"]) == ("ok", 1, "dags-folder")
    assert answer["created_at"] == site.held("/dags/ok/dagVersions/1")["created_at"]
    assert "(404)" in site.admin.refusal("get_dag_version", dag_id="ok", version_number=99)


def list_dag_reports(site: Site) -> None:
    assert EXCUSED["list_dag_reports"] in site.admin.refusal("list_dag_reports", subdir="dags")


def get_task(site: Site) -> None:
    task = site.admin.ask("get_task", dag_id="grouped", task_id="after")
    assert (task["task_id"], task["retries"], task["is_mapped"], task["pool"]) == ("after", 2, False, "default_pool")
    held = site.held("/dags/grouped/tasks/after")
    assert task["operator_name"] == (held["class_ref"]["class_name"] if site.is_old else held["operator_name"])
    assert task["doc_md"] == "Cools the loaves."
    assert (task["downstream_task_ids"], task["trigger_rule"]) == ([], "all_success")
    one = site.admin.ask("get_task", dag_id="grouped", task_id="middle.one")
    assert one["downstream_task_ids"] == site.held("/dags/grouped/tasks/middle.one")["downstream_task_ids"]
    assert site.admin.ask("get_task", dag_id="mapped", task_id="load")["is_mapped"] is True


def get_event_log(site: Site) -> None:
    event = "api.post_dag_run" if site.is_old else "trigger_dag_run"
    (first,) = site.admin.rows("list_event_logs", dag_id="ok", event=event, limit=1)
    log = site.admin.ask("get_event_log", event_log_id=first["event_log_id"])
    held = site.held(f"/eventLogs/{first['event_log_id']}")
    assert (log["dag_id"], log["event"], log["owner"]) == ("ok", event, "admin")
    assert datetime.fromisoformat(log["when"]) == datetime.fromisoformat(held["when"])
    assert "(404)" in site.admin.refusal("get_event_log", event_log_id=2_000_000_000)


def list_upstream_asset_events(site: Site) -> None:
    events = site.admin.rows("list_upstream_asset_events", **taken(site))
    assert {row["uri"] for row in events} == {"x-rows://loaf"}
    sources = {(row["source_dag_id"], row["source_task_id"]): row["source_run_id"] for row in events}
    assert sources["rows_source", "bake"].startswith("made-")
    site.ended("ok", "ok-1")
    assert site.admin.rows("list_upstream_asset_events", dag_id="ok", dag_run_id="ok-1") == []


def list_mapped_task_instances(site: Site) -> None:
    run: Json = {"dag_id": "mapped", "dag_run_id": site.ended("mapped", "map-1"), "task_id": "load"}
    rows = site.admin.rows("list_mapped_task_instances", **run)
    held = site.held("/dags/mapped/dagRuns/map-1/taskInstances/load/listMapped")["task_instances"]
    assert {row["map_index"]: row["state"] for row in rows} == {one["map_index"]: one["state"] for one in held}
    failed = site.admin.rows("list_mapped_task_instances", **run, state=["failed"])
    assert [row["state"] for row in rows if row["map_index"] == 3] == ["failed"]
    assert len(failed) == len([one for one in held if one["state"] == "failed"])
    page = site.admin.ask("list_mapped_task_instances", **run, limit=2, offset=1)
    assert ([row[0] for row in page["rows"]], page["total"]) == ([1, 2], 5)


def get_task_instance_try(site: Site) -> None:
    site.ended("mapped", "map-1")
    tried = site.admin.ask("get_task_instance_try", **BROKEN_CRATE, try_number=1)
    assert (tried["state"], tried["map_index"], tried["try_number"]) == ("failed", 3, 1)
    unmapped: Json = {"dag_id": "ok", "dag_run_id": site.ended("ok", "ok-1"), "task_id": "produce"}
    assert site.admin.ask("get_task_instance_try", **unmapped, try_number=1)["state"] == "success"
    assert "(404)" in site.admin.refusal("get_task_instance_try", **unmapped, try_number=7)


def list_task_dependencies(site: Site) -> None:
    with passing_run(site, "waits") as run:
        for where in ({"task_id": "first"}, {"task_id": "each", "map_index": 1}):
            reasons = {row["name"]: row["reason"] for row in site.admin.rows("list_task_dependencies", **run, **where)}
            assert "paused" in reasons["Dag Not Paused"]
    done: Json = {"dag_id": "ok", "dag_run_id": site.ended("ok", "ok-1"), "task_id": "produce"}
    assert site.admin.rows("list_task_dependencies", **done) == []


@newer("3.1", dag_id="still", dag_run_id="none", task_id="first", try_number=1)
def get_external_log_url(site: Site) -> None:
    task: Json = {"dag_id": "ok", "dag_run_id": site.ended("ok", "ok-1"), "task_id": "produce", "try_number": 1}
    assert EXCUSED["get_external_log_url"] in site.admin.refusal("get_external_log_url", **task)


def list_extra_links(site: Site) -> None:
    links = site.admin.ask("list_extra_links", **made(site), task_id="tell")["extra_links"]
    assert set(links) == {"Triggered DAG"}
    assert "grouped" in links["Triggered DAG"]
    assert "told-by-made-1" in links["Triggered DAG"]
    assert site.admin.ask("list_extra_links", **made(site), task_id="bake").get("extra_links", {}) == {}


@newer("3.0", dag_id="grouped")
def list_backfills(site: Site) -> None:
    with passing_backfill(site, "2026-03-01T00:00:00Z") as backfill_id:
        first = site.admin.rows("list_backfills", dag_id="grouped")[0]
        assert (first["id"], first["is_paused"], first["from_date"]) == (backfill_id, False, "2026-03-01T00:00:00Z")
    assert site.admin.rows("list_backfills", dag_id="ok") == []


@newer("3.0", backfill_id=1)
def wait_for_backfill(site: Site) -> None:
    with passing_backfill(site, "2026-03-08T00:00:00Z") as backfill_id:
        answer = site.admin.ask("wait_for_backfill", backfill_id=backfill_id)
        assert (answer["finished"], answer["runs"]) == (False, {"queued": 1})
        assert "The DAG is paused" in answer["hint"]
        site.change("PUT", f"/backfills/{backfill_id}/pause")
        assert "The backfill is paused" in site.admin.ask("wait_for_backfill", backfill_id=backfill_id)["hint"]
        site.change("PUT", f"/backfills/{backfill_id}/cancel")
        answer = site.admin.ask("wait_for_backfill", backfill_id=backfill_id)
        assert (answer["finished"], answer["runs"]) == (True, {"failed": 1})
        assert answer["failed_runs"] == ["backfill__2026-03-08T00:00:00+00:00"]
    assert "(404)" in site.admin.refusal("wait_for_backfill", backfill_id=2_000_000_000)


@newer("3.0", backfill_id=1)
def get_backfill(site: Site) -> None:
    with passing_backfill(site, "2026-03-02T00:00:00Z") as backfill_id:
        backfill = site.admin.ask("get_backfill", backfill_id=backfill_id)
        assert (backfill["id"], backfill["dag_id"], backfill["reprocess_behavior"]) == (backfill_id, "grouped", "none")
    assert "(404)" in site.admin.refusal("get_backfill", backfill_id=2_000_000_000)


@newer("3.1", dag_id="~", dag_run_id="~")
def list_hitl_details(site: Site) -> None:
    with passing_question(site, "listed") as task:
        (asked,) = site.admin.rows("list_hitl_details", dag_id="~", dag_run_id="~", response_received=False)
        for name in ("dag_id", "dag_run_id", "task_id"):
            assert asked[name] == task[name]
        assert (asked["subject"], asked["options"]) == (QUESTION["subject"], QUESTION["options"])
        run: Json = {"dag_id": "rows_human", "dag_run_id": "listed"}
        assert len(site.admin.rows("list_hitl_details", **run, subject_search="flour")) == 1
        assert site.admin.rows("list_hitl_details", **run, response_received=True) == []


@newer("3.1", dag_id="still", dag_run_id="none", task_id="choose")
def get_hitl_detail(site: Site) -> None:
    task: Json = {"dag_id": "rows_human", "dag_run_id": "got", "task_id": "choose"}
    with passing_question(site, "got"):
        asked = site.admin.ask("get_hitl_detail", **task)
        assert {name: asked[name] for name in (*task, *QUESTION)} == task | QUESTION
        assert asked["params"]["loaves"]["value"] == 6
        assert (asked["response_received"], asked["multiple"]) == (False, False)
    assert "has no run 'got'" in site.admin.refusal("get_hitl_detail", **task)


@newer("3.2", dag_id="still", dag_run_id="none", task_id="choose", try_number=1)
def get_hitl_detail_try(site: Site) -> None:
    task: Json = {"dag_id": "rows_human", "dag_run_id": "tried", "task_id": "choose"}
    with passing_question(site, "tried"):
        asked = site.admin.ask("get_hitl_detail_try", **task, try_number=1)
        assert {name: asked[name] for name in (*task, *QUESTION)} == task | QUESTION
        assert "(404)" in site.admin.refusal("get_hitl_detail_try", **task, try_number=7)


READS: dict[str, Row] = {
    row.__name__: row
    for row in (
        get_dag_stats,
        list_dag_versions,
        get_dag_version,
        list_dag_reports,
        get_task,
        get_event_log,
        list_upstream_asset_events,
        list_mapped_task_instances,
        get_task_instance_try,
        list_task_dependencies,
        get_external_log_url,
        list_extra_links,
        list_backfills,
        get_backfill,
        wait_for_backfill,
        list_hitl_details,
        get_hitl_detail,
        get_hitl_detail_try,
    )
}
