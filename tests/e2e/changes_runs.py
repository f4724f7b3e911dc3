"""The rows of tools that change DAGs, runs and what people decide; Airflow is asked directly what it then holds."""

from __future__ import annotations

from contextlib import ExitStack

from .changes import FRESH, SIGNED, held_state, held_tasks
from .harness import PATIENCE, Json, Row, Site
from .passing import (
    backfilled,
    end_backfill,
    newer,
    passing_backfill,
    passing_question,
    passing_run,
    refused_in_the_end,
)

QUIET = ("rows_quiet_a", "rows_quiet_b")


def paused(site: Site) -> dict[str, bool]:
    """Which DAGs are paused, as Airflow says; without the one that another row deletes and its file brings back."""
    held = site.held("/dags?limit=100")["dags"]
    return {dag["dag_id"]: dag["is_paused"] for dag in held if dag["dag_id"] != "doomed"}


def pause_dags(site: Site) -> None:
    for dag_id in QUIET:
        site.change("PATCH", f"/dags/{dag_id}", {"is_paused": False})
    before = paused(site)
    answer = site.admin.ask("pause_dags", dag_id_pattern="rows_quiet_")
    assert (answer["total"], {row[0] for row in answer["rows"]}) == (2, set(QUIET))
    assert paused(site) == before | dict.fromkeys(QUIET, True)
    assert "limit" in site.admin.refusal("pause_dags", dag_id_pattern="rows_quiet_", limit=1)


def unpause_dags(site: Site) -> None:
    before = paused(site)
    assert before.items() >= dict.fromkeys(QUIET, True).items()
    try:
        answer = site.admin.ask("unpause_dags", dag_id_pattern="quiet_b", tags=["e2e"])
        assert [row[0] for row in answer["rows"]] == ["rows_quiet_b"]
        assert paused(site) == before | {"rows_quiet_b": False}
        assert site.admin.ask("unpause_dags", dag_id_pattern="quiet_b", tags=["no_such_tag"])["rows"] == []
    finally:
        site.change("PATCH", "/dags/rows_quiet_b", {"is_paused": True})


def favorites(site: Site) -> list[str]:
    """The administrator's favorites, as Airflow says."""
    return [dag["dag_id"] for dag in site.held("/dags?is_favorite=true")["dags"]]


@newer("3.1", dag_id="still")
def favorite_dag(site: Site) -> None:
    try:
        assert site.admin.ask("favorite_dag", dag_id="still") == {"done": True, "dag_id": "still"}
        assert favorites(site) == ["still"]
        assert "(409)" in site.admin.refusal("favorite_dag", dag_id="still")
    finally:
        site.rest("POST", "/dags/still/unfavorite")


@newer("3.1", dag_id="params")
def unfavorite_dag(site: Site) -> None:
    site.change("POST", "/dags/params/favorite")
    assert favorites(site) == ["params"]
    assert site.admin.ask("unfavorite_dag", dag_id="params") == {"done": True, "dag_id": "params"}
    assert favorites(site) == []
    assert "(409)" in site.admin.refusal("unfavorite_dag", dag_id="params")


def reparse_dag(site: Site) -> None:
    before = site.requests()
    assert site.admin.ask("reparse_dag", dag_id="still") == {"done": True, "dag_id": "still"}
    assert "There is no DAG 'nope'" in site.admin.refusal("reparse_dag", dag_id="nope")
    asked: list[str] = []
    for _ in range(PATIENCE):  # Airflow logs a request after it has answered it
        if asked := [line for line in site.requests()[len(before) :] if "/parseDagFile/" in line]:
            break
        site.held("/dags/still")
    assert [line.partition(" ")[0] for line in asked] == ["PUT"]


def set_dag_run_note(site: Site) -> None:
    with passing_run(site, "noted") as run:
        for note in ("für Zoë", "für Max"):
            assert site.admin.ask("set_dag_run_note", **run, note=note)["note"] == note
            held = site.held("/dags/still/dagRuns/noted")
            assert (held["note"], held["state"]) == (note, "queued")


@newer("3.3", dag_id="still", dag_run_ids=["a"])
def clear_dag_runs(site: Site) -> None:
    with passing_run(site, "many-1") as one, passing_run(site, "many-2") as two:
        for run in (one, two):
            site.change("PATCH", f"/dags/still/dagRuns/{run['dag_run_id']}", {"state": "success"})
        asked: Json = {"dag_id": "still", "dag_run_ids": ["many-1", "many-2"]}
        shown = site.admin.ask("clear_dag_runs", **asked)
        assert (shown["dry_run"], shown["total"]) == (True, 2 * len(FRESH))
        plan = site.admin.planned("clear_dag_runs", **asked, dry_run=False)
        assert [held_state(site, run) for run in (one, two)] == ["success", "success"]
        done = site.admin.ask("clear_dag_runs", **asked, dry_run=False, plan=plan)
        assert (done["done"], sorted(done["dag_runs"])) == (True, ["many-1", "many-2"])
        for run in (one, two):
            assert (held_state(site, run), held_tasks(site, run)) == ("queued", FRESH)
            assert site.held(f"/dags/still/dagRuns/{run['dag_run_id']}")["note"] == SIGNED
    with passing_run(site, "by-key", "rows_sliced", partition_key="2026-02-03T00:00:00") as run:
        site.change("PATCH", "/dags/rows_sliced/dagRuns/by-key", {"state": "success"})
        for key, total in (("2026-02-03T00:00:00", 1), ("2026-02-04T00:00:00", 0)):
            assert site.admin.ask("clear_dag_runs", dag_id="rows_sliced", partition_key=key)["total"] == total
        site.admin.ask("clear_dag_runs", dag_id="rows_sliced", partition_key="2026-02-03T00:00:00", dry_run=False)
        assert held_state(site, run) == "queued"


@newer("3.3", dag_id="still", dag_run_id="a")
def clear_dag_run_partitions(site: Site) -> None:
    key = "2026-02-05T00:00:00"
    with passing_run(site, "in-part", "rows_sliced", partition_key=key) as run:
        path = "/dags/rows_sliced/dagRuns/in-part"
        assert site.admin.ask("clear_dag_run_partitions", **run)["dag_runs_cleared"] == 1
        plan = site.admin.planned("clear_dag_run_partitions", **run, clear_task_instances=True, dry_run=False)
        assert site.held(path)["partition_key"] == key
        done = site.admin.ask("clear_dag_run_partitions", **run, clear_task_instances=True, dry_run=False, plan=plan)
        assert (done["dag_runs_cleared"], done["task_instances_cleared"]) == (1, 1)
        assert site.held(path)["partition_key"] is None
        gone = site.admin.ask("clear_dag_run_partitions", dag_id="rows_sliced", partition_key=key)
        assert gone["dag_runs_cleared"] == 0


@newer("3.3", dag_id="still", delete=["a"])
def bulk_dag_runs(site: Site) -> None:
    with ExitStack() as stack:
        noted, failed, gone, kept = (
            stack.enter_context(passing_run(site, run_id)) for run_id in ("bulk-1", "bulk-2", "bulk-3", "bulk-4")
        )
        update = [{"dag_run_id": "bulk-1", "note": "für Zoë"}, {"dag_run_id": "bulk-2", "state": "failed"}]
        asked: Json = {"dag_id": "still", "update": update, "delete": ["bulk-3"]}
        plan = site.admin.planned("bulk_dag_runs", **asked)
        assert [held_state(site, run) for run in (noted, failed, gone)] == ["queued"] * 3
        done = site.admin.ask("bulk_dag_runs", **asked, plan=plan)
        assert {name: len(done[name]) for name in ("updated", "deleted")} == {"updated": 2, "deleted": 1}
        assert (site.held("/dags/still/dagRuns/bulk-1")["note"], held_state(site, noted)) == ("für Zoë", "queued")
        assert (site.held("/dags/still/dagRuns/bulk-2")["note"], held_state(site, failed)) == (None, "failed")
        assert site.rest("GET", "/dags/still/dagRuns/bulk-3")[0] == 404
        assert held_state(site, kept) == "queued"
        partly = {"update": [{"dag_run_id": "bulk-4", "state": "success"}], "delete": ["no-such-run"]}
        mixed = site.admin.ask("bulk_dag_runs", dag_id="still", **partly)
        assert (len(mixed["updated"]), len(mixed["errors"])) == (1, 1)
        assert held_state(site, kept) == "success"
        assert "nothing was done" in refused_in_the_end(site, "bulk_dag_runs", dag_id="still", delete=["no-such"])


@newer("3.0", dag_id="grouped", from_date="2026-03-03T00:00:00Z", to_date="2026-03-04T00:00:00Z")
def create_backfill(site: Site) -> None:
    wanted: Json = {"dag_id": "grouped", "from_date": "2026-03-03T00:00:00Z", "to_date": "2026-03-04T00:00:00Z"}
    shown = site.admin.rows("create_backfill", **wanted)
    assert [row["logical_date"] for row in shown] == [wanted["from_date"], wanted["to_date"]]
    assert backfilled(site) == {}
    answer = settled(site, "create_backfill", **wanted, dry_run=False, max_active_runs=1)
    try:
        held = site.held(f"/backfills/{answer['id']}")
        assert (held["dag_id"], held["max_active_runs"], held["is_paused"]) == ("grouped", 1, False)
        assert list(backfilled(site).values()) == ["queued", "queued"]
        assert "(409)" in site.admin.refusal("create_backfill", **wanted, dry_run=False)
        again = site.admin.ask("create_backfill", **wanted, reprocess_behavior="completed")
        assert again["rows"] == []
        assert "Dates whose runs stay as they are: 2" in again["hint"]
        assert "never one in flight" in again["hint"]
        site.change("PUT", f"/backfills/{answer['id']}/cancel")  # which fails the runs that are queued
        assert site.admin.rows("create_backfill", **wanted) == []
        shown = site.admin.rows("create_backfill", **wanted, reprocess_behavior="failed")
        assert {(row["state"], row["then"]) for row in shown} == {("failed", "cleared, runs again")}
        assert {row["dag_run_id"] for row in shown} == backfilled(site).keys()
    finally:
        end_backfill(site, answer["id"])


def settled(site: Site, tool: str, /, **arguments: object) -> Json:
    """The answer of a call that is made again where SQLite was locked by another."""
    for _ in range(PATIENCE):
        result = site.admin.result(tool, dict(arguments))
        assert result.structured_content is not None or "locked" in str(result.content), result.content
        if not result.is_error and result.structured_content:
            answer = result.structured_content
            if "plan" not in answer:
                return answer
            arguments = {**arguments, "plan": answer["plan"]}
    raise AssertionError(f"{tool}: the database stays locked")


@newer("3.0", backfill_id=1)
def pause_backfill(site: Site) -> None:
    with passing_backfill(site, "2026-03-05T00:00:00Z") as backfill_id:
        for _ in range(2):
            assert site.admin.ask("pause_backfill", backfill_id=backfill_id)["is_paused"] is True
            assert site.held(f"/backfills/{backfill_id}")["is_paused"] is True


@newer("3.0", backfill_id=1)
def unpause_backfill(site: Site) -> None:
    with passing_backfill(site, "2026-03-06T00:00:00Z") as backfill_id:
        site.change("PUT", f"/backfills/{backfill_id}/pause")
        assert site.admin.ask("unpause_backfill", backfill_id=backfill_id)["is_paused"] is False
        assert site.held(f"/backfills/{backfill_id}")["is_paused"] is False


@newer("3.0", backfill_id=1)
def cancel_backfill(site: Site) -> None:
    with passing_backfill(site, "2026-03-07T00:00:00Z") as backfill_id:
        plan = site.admin.planned("cancel_backfill", backfill_id=backfill_id)
        assert site.held(f"/backfills/{backfill_id}")["completed_at"] is None
        answer = site.admin.ask("cancel_backfill", backfill_id=backfill_id, plan=plan)
        assert answer["completed_at"]
        assert site.held(f"/backfills/{backfill_id}")["completed_at"] is not None
        assert list(backfilled(site).values()) == ["failed"]
        assert "(409)" in site.admin.refusal("pause_backfill", backfill_id=backfill_id)


@newer("3.1", dag_id="still", dag_run_id="none", task_id="choose", chosen_options=["rye"])
def answer_hitl_detail(site: Site) -> None:
    task: Json = {"dag_id": "rows_human", "dag_run_id": "answered", "task_id": "choose"}
    given: Json = {"chosen_options": ["wheat"], "params_input": {"loaves": 7}}
    with passing_question(site, "answered"):
        wrong = site.admin.refusal("answer_hitl_detail", **task, chosen_options=["oats"])
        assert "oats is not among the options: rye, wheat" in wrong
        wrong = site.admin.refusal("answer_hitl_detail", **task, **given | {"params_input": {"loaves": 13}})
        assert "params_input.loaves: 13 does not fit" in wrong
        path = "/dags/rows_human/dagRuns/answered/taskInstances/choose/-1/hitlDetails"
        assert site.held(path)["response_received"] is False
        answer = site.admin.ask("answer_hitl_detail", **task, **given)
        assert {name: answer[name] for name in given} == given
        held = site.held(path)
        assert {name: held[name] for name in given} == given
        assert "answered already by admin: wheat" in site.admin.refusal("answer_hitl_detail", **task, **given)
        done = site.reader.ask("wait_for_dag_run", dag_id="rows_human", dag_run_id="answered", timeout_seconds=PATIENCE)
        assert done["state"] == "success"


CHANGES: dict[str, Row] = {
    row.__name__: row
    for row in (
        pause_dags,
        unpause_dags,
        favorite_dag,
        unfavorite_dag,
        reparse_dag,
        set_dag_run_note,
        clear_dag_runs,
        clear_dag_run_partitions,
        bulk_dag_runs,
        create_backfill,
        pause_backfill,
        unpause_backfill,
        cancel_backfill,
        answer_hitl_detail,
    )
}
