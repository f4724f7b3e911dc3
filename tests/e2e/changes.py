"""The rows of tools that change Airflow: the call is made, and Airflow is asked directly what it then holds.

They work on runs of their own of DAGs that are paused, whose tasks nobody runs: what they set stays as it is.
"""

from __future__ import annotations

from datetime import UTC, datetime

from .harness import PATIENCE, Json, Row, Site, calls_of


def new_run(site: Site, run_id: str, dag_id: str = "still") -> Json:
    """A new run of a paused DAG, as arguments; it stays queued, its tasks without a state."""
    body: Json = {"dag_run_id": run_id} | ({} if site.is_old else {"logical_date": None})
    site.change("POST", f"/dags/{dag_id}/dagRuns", body)
    return {"dag_id": dag_id, "dag_run_id": run_id}


def held_state(site: Site, run: Json) -> str:
    """The state of a run, as Airflow says."""
    return site.held(f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}")["state"]


def held_tasks(site: Site, run: Json) -> dict[str, str | None]:
    """The state of each task instance of a run, as Airflow says; of a mapped one as "task[index]"."""
    tasks = site.held(f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances")["task_instances"]
    return {row["task_id"] + (f"[{row['map_index']}]" if row["map_index"] >= 0 else ""): row["state"] for row in tasks}


SIGNED = "by local, through airflow-mcp"
"""The note of a run whose caller gave none."""
FRESH: dict[str, str | None] = dict.fromkeys(("first", "each[0]", "each[1]", "each[2]"))


def trigger_dag_run(site: Site) -> None:
    wanted: Json = {"dag_id": "params", "dag_run_id": "given", "conf": {"loaves": 7}, "note": "für Zoë"}
    answer = site.admin.ask("trigger_dag_run", **wanted)
    noted = f"für Zoë ({SIGNED})"
    assert {name: answer[name] for name in wanted} == wanted | {"note": noted}
    assert "The DAG is paused, so the run stays queued" in answer["hint"]
    held = site.held("/dags/params/dagRuns/given")
    assert (held["state"], held["conf"], held["note"]) == ("queued", {"loaves": 7}, noted)
    dated = site.admin.ask("trigger_dag_run", dag_id="params", logical_date="2026-01-02T03:04:05+02:00")
    assert datetime.fromisoformat(dated["logical_date"]) == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    held = site.held(f"/dags/params/dagRuns/{dated['dag_run_id']}")
    assert held["logical_date"].startswith("2026-01-02T01:04:05")
    assert held["note"] == dated["note"] == SIGNED


def trigger_and_wait(site: Site) -> None:
    assert "is paused" in site.admin.refusal("trigger_and_wait", dag_id="still", dag_run_id="never")
    assert "never" not in {row["dag_run_id"] for row in site.held("/dags/still/dagRuns")["dag_runs"]}
    wrong = site.admin.refusal("trigger_and_wait", dag_id="prompt", conf={"loaves": 13})
    assert "conf.loaves: 13 does not fit" in wrong
    assert site.held("/dags/prompt/dagRuns")["dag_runs"] == []
    conf, seconds = {"loaves": 7}, PATIENCE
    answer = site.admin.ask(
        "trigger_and_wait", dag_id="prompt", dag_run_id="prompt-1", conf=conf, timeout_seconds=seconds
    )
    ids = {"dag_id": "prompt", "dag_run_id": "prompt-1"}
    assert answer == ids | {"state": "success", "finished": True, "tasks": {"success": 1}}
    held = site.held("/dags/prompt/dagRuns/prompt-1")
    assert (held["state"], held["conf"], held["note"]) == ("success", conf, SIGNED)


def pause_dag(site: Site) -> None:
    site.change("PATCH", "/dags/doubtful_a", {"is_paused": False})
    for _ in range(2):
        assert site.admin.ask("pause_dag", dag_id="doubtful_a")["is_paused"] is True
        assert site.held("/dags/doubtful_a")["is_paused"] is True


def unpause_dag(site: Site) -> None:
    site.change("PATCH", "/dags/doubtful_b", {"is_paused": True})
    for _ in range(2):
        assert site.admin.ask("unpause_dag", dag_id="doubtful_b")["is_paused"] is False
        assert site.held("/dags/doubtful_b")["is_paused"] is False


def set_dag_run_state(site: Site) -> None:
    good, bad = new_run(site, "set-success"), new_run(site, "set-failed")
    assert site.admin.ask("set_dag_run_state", **good, state="success")["state"] == "success"
    assert held_state(site, good) == "success"
    # Airflow's own choice for tasks that never ran: up to 3.2 they succeeded, since 3.3 they were skipped.
    assert held_tasks(site, good) == dict.fromkeys(FRESH, "skipped" if site.since("3.3") else "success")
    assert site.admin.ask("set_dag_run_state", **bad, state="failed")["state"] == "failed"
    assert held_state(site, bad) == "failed"
    assert site.admin.ask("set_dag_run_state", **bad, state="queued")["state"] == "queued"
    assert held_state(site, bad) == "queued"


def set_task_instance_state(site: Site) -> None:
    run = new_run(site, "set-tasks")
    answer = site.admin.ask("set_task_instance_state", **run, task_id="first", new_state="success")
    assert (answer["task_id"], answer["state"]) == ("first", "success")
    assert held_tasks(site, run) == FRESH | {"first": "success"}
    answer = site.admin.ask("set_task_instance_state", **run, task_id="each", map_index=1, new_state="failed")
    assert (answer["task_id"], answer["map_index"], answer["state"]) == ("each", 1, "failed")
    assert held_tasks(site, run) == FRESH | {"first": "success", "each[1]": "failed"}
    skip: Json = {"task_id": "each", "map_index": 0, "new_state": "skipped"}
    if not site.since("2.9"):
        assert "'skipped' needs Airflow 2.9" in site.admin.refusal("set_task_instance_state", **run, **skip)
        return
    site.admin.ask("set_task_instance_state", **run, **skip)
    assert held_tasks(site, run) == FRESH | {"first": "success", "each[1]": "failed", "each[0]": "skipped"}


def create_pool(site: Site) -> None:
    wanted: Json = {"name": "new pool", "slots": 3, "description": "für Zoë", "include_deferred": True}
    try:
        given = {name: value for name, value in wanted.items() if name != "name"}
        answer = site.admin.ask("create_pool", pool_name="new pool", **given)
        held = site.held("/pools/new%20pool")
        assert {name: answer[name] for name in wanted} == {name: held[name] for name in wanted} == wanted
        assert "(409)" in site.admin.refusal("create_pool", pool_name="new pool", slots=9)
        assert site.held("/pools/new%20pool")["slots"] == 3
    finally:
        site.change("DELETE", "/pools/new%20pool")


def update_pool(site: Site) -> None:
    held: Json = {"name": "pool-1", "slots": 3, "description": "für Zoë", "include_deferred": True}
    site.change("POST", "/pools", held)
    changes: list[Json] = [{"slots": 5}, {"description": "other"}, {"include_deferred": False}, {"slots": 0}]
    try:
        for change in changes:
            held |= change
            answer = site.admin.ask("update_pool", pool_name="pool-1", **change)
            now = site.held("/pools/pool-1")
            assert {name: now[name] for name in held} == {name: answer[name] for name in held} == held
        assert "give at least one of" in site.admin.refusal("update_pool", pool_name="pool-1")
    finally:
        site.change("DELETE", "/pools/pool-1")


def delete_pool(site: Site) -> None:
    site.change("POST", "/pools", {"name": "pool-2", "slots": 1, "include_deferred": False})
    assert site.held("/pools/pool-2")["slots"] == 1
    plan = site.admin.planned("delete_pool", pool_name="pool-2")
    assert site.held("/pools/pool-2")["slots"] == 1
    assert site.admin.ask("delete_pool", pool_name="pool-2", plan=plan) == {"done": True, "pool_name": "pool-2"}
    assert site.rest("GET", "/pools/pool-2")[0] == 404
    assert "There is no pool 'pool-2'" in site.admin.refusal("delete_pool", pool_name="pool-2")


def clear_dag_run(site: Site) -> None:
    run = new_run(site, "clear-all")
    site.change("PATCH", "/dags/still/dagRuns/clear-all", {"state": "success"})
    before = held_tasks(site, run)
    assert None not in before.values()
    for shown in (site.admin.ask("clear_dag_run", **run), site.admin.ask("clear_dag_run", **run, dry_run=True)):
        assert (shown["dry_run"], shown["total"]) == (True, 4)
        assert calls_of(shown) == [("clear_dag_run", run | {"plan": shown["plan"]})]
        assert (held_state(site, run), held_tasks(site, run)) == ("success", before)
    plan = site.admin.planned("clear_dag_run", **run, dry_run=False)
    assert (held_state(site, run), held_tasks(site, run)) == ("success", before)
    done = site.admin.ask("clear_dag_run", **run, dry_run=False, plan=plan)
    assert (done["done"], done["state"]) == (True, "queued")
    assert (held_state(site, run), held_tasks(site, run)) == ("queued", FRESH)
    assert site.held("/dags/still/dagRuns/clear-all")["note"] == (SIGNED if site.since("3.3") else None)


def clear_task_instances(site: Site) -> None:
    run = new_run(site, "clear-one")
    for task_id, state in (("first", "success"), ("each", "failed")):
        where: Json = {"map_index": 2} if task_id == "each" else {}
        site.admin.ask("set_task_instance_state", **run, task_id=task_id, new_state=state, **where)
    before = held_tasks(site, run)
    assert before == FRESH | {"first": "success", "each[2]": "failed"}
    shown = site.admin.ask("clear_task_instances", **run)
    assert (shown["dry_run"], shown["total"]) == (True, 1)
    assert held_tasks(site, run) == before
    plan = site.admin.planned("clear_task_instances", **run, dry_run=False)
    assert held_tasks(site, run) == before
    done = site.admin.ask("clear_task_instances", **run, dry_run=False, plan=plan)
    assert (done["done"], done["total"]) == (True, 1)
    assert (held_state(site, run), held_tasks(site, run)) == ("queued", FRESH | {"first": "success"})
    both: Json = {"task_ids": ["first"], "include_downstream": True, "only_failed": False}
    assert site.admin.ask("clear_task_instances", **run, **both)["total"] == 4
    assert site.admin.ask("clear_task_instances", **run, **both, dry_run=False)["total"] == 4
    assert held_tasks(site, run) == FRESH
    nothing = site.admin.ask("clear_task_instances", **run)
    assert nothing["hint"].startswith("Nothing matches")


def plan_recovery(site: Site) -> None:
    asked: Json = {"dag_ids": ["second_time"], "since": "2026-01-01T00:00:00Z"}
    run = new_run(site, "lost", "second_time")
    site.ended("second_time", "lost")
    shown = site.admin.ask("plan_recovery", **asked)
    assert (shown["dry_run"], shown["affected"], shown["steps"][0]["which"]) == (True, 2, "land, rest")
    plan = site.admin.planned("plan_recovery", **asked, dry_run=False)
    assert held_state(site, run) == "failed"
    done = site.admin.ask("plan_recovery", **asked, dry_run=False, plan=plan)
    assert (done["done"], done["affected"]) == (True, 2)
    again = site.reader.ask("wait_for_dag_run", **run, timeout_seconds=PATIENCE)
    assert (again["finished"], again["state"]) == (True, "success")


def delete_dag_run(site: Site) -> None:
    run, kept = new_run(site, "delete-me"), new_run(site, "keep-me")
    plan = site.admin.planned("delete_dag_run", **run)
    assert held_state(site, run) == "queued"
    assert site.admin.ask("delete_dag_run", **run, plan=plan) == {"done": True, **run}
    assert site.rest("GET", "/dags/still/dagRuns/delete-me")[0] == 404
    assert held_state(site, kept) == "queued"


def delete_dag(site: Site) -> None:
    run = new_run(site, "last-one", dag_id="doomed")
    plan = site.admin.planned("delete_dag", dag_id="doomed")
    assert held_state(site, run) == "queued"
    assert site.admin.ask("delete_dag", dag_id="doomed", plan=plan) == {"done": True, "dag_id": "doomed"}
    # Its file is still there, so the DAG itself may be back already; its runs may not.
    assert site.rest("GET", "/dags/doomed/dagRuns/last-one")[0] == 404


def call_changing_tool(site: Site) -> None:
    run = new_run(site, "by-another")
    arguments = {"tool": "delete_dag_run", "arguments": run}
    assert "delete_dag_run is not allowed" in site.writer.refusal("call_changing_tool", **arguments)
    plan = site.admin.planned("call_changing_tool", **arguments)
    assert held_state(site, run) == "queued"
    done = site.admin.ask("call_changing_tool", tool="delete_dag_run", arguments={**run, "plan": plan})
    assert done == {"done": True, **run}
    assert site.rest("GET", "/dags/still/dagRuns/by-another")[0] == 404


CHANGES: dict[str, Row] = {
    row.__name__: row
    for row in (
        trigger_dag_run,
        trigger_and_wait,
        pause_dag,
        unpause_dag,
        set_dag_run_state,
        set_task_instance_state,
        create_pool,
        update_pool,
        delete_pool,
        clear_dag_run,
        clear_task_instances,
        plan_recovery,
        delete_dag_run,
        delete_dag,
        call_changing_tool,
    )
}
