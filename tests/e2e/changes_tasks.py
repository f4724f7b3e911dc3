"""The rows of tools that change task instances and XComs, on runs whose tasks nobody runs."""

from __future__ import annotations

import json

from .changes import FRESH, held_state, held_tasks
from .harness import Json, Row, Site
from .passing import newer, passing_run

GROUP: dict[str, str | None] = dict.fromkeys(("before", "middle.one", "middle.two", "after"))


def held_note(site: Site, run: Json, task: str) -> str | None:
    """The note of a task instance, as Airflow says; `task` is its id, and its index behind a slash."""
    return site.held(f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task}")["note"]


def set_task_instance_note(site: Site) -> None:
    with passing_run(site, "task-noted") as run:
        for note in ("für Zoë", "für Max"):
            answer = site.admin.ask("set_task_instance_note", **run, task_id="first", note=note)
            assert (answer["task_id"], answer["note"]) == ("first", note)
            assert held_note(site, run, "first") == note
        answer = site.admin.ask("set_task_instance_note", **run, task_id="each", map_index=1, note="burnt")
        assert (answer["map_index"], answer["note"]) == (1, "burnt")
        assert [held_note(site, run, f"each/{index}") for index in range(3)] == [None, "burnt", None]
        assert held_tasks(site, run) == FRESH


@newer("3.1", dag_id="still", dag_run_id="none", task_id="first")
def delete_task_instance(site: Site) -> None:
    with passing_run(site, "task-gone") as run:
        plan = site.admin.planned("delete_task_instance", **run, task_id="each", map_index=2)
        assert held_tasks(site, run) == FRESH
        done = site.admin.ask("delete_task_instance", **run, task_id="each", map_index=2, plan=plan)
        assert (done["done"], done["task_id"]) == (True, "each")
        left = {name: state for name, state in FRESH.items() if name != "each[2]"}
        assert held_tasks(site, run) == left
        site.admin.ask("delete_task_instance", **run, task_id="first")
        assert "first" not in held_tasks(site, run)


@newer("3.1", dag_id="still", dag_run_id="none", delete=["first"])
def bulk_task_instances(site: Site) -> None:
    with passing_run(site, "task-bulk") as run:
        update = [
            {"task_id": "first", "new_state": "success", "note": "für Zoë"},
            {"task_id": "each", "map_index": 0, "new_state": "failed"},
        ]
        asked: Json = {**run, "update": update, "delete": [{"task_id": "each", "map_index": 2}]}
        plan = site.admin.planned("bulk_task_instances", **asked)
        assert held_tasks(site, run) == FRESH
        done = site.admin.ask("bulk_task_instances", **asked, plan=plan)
        assert (len(done["updated"]), len(done["deleted"])) == (2, 1)
        assert held_tasks(site, run) == {"first": "success", "each[0]": "failed", "each[1]": None}
        assert held_note(site, run, "first") == "für Zoë"
        # A mapped task without an index is no task instance: nothing of it is deleted.
        mixed = site.admin.ask(
            "bulk_task_instances", **run, update=[{"task_id": "first", "note": "again"}], delete=["each"]
        )
        assert (len(mixed["updated"]), len(mixed["errors"])) == (1, 1)
        assert held_tasks(site, run) == {"first": "success", "each[0]": "failed", "each[1]": None}
        assert held_note(site, run, "first") == "again"


@newer("3.3", dag_id="still", dag_run_id="none", task_group_id="middle", new_state="failed")
def set_task_group_state(site: Site) -> None:
    with passing_run(site, "group-set", "grouped") as run:
        asked = {**run, "task_group_id": "middle", "new_state": "failed"}
        shown = site.admin.ask("set_task_group_state", **asked, dry_run=True)
        assert (shown["dry_run"], shown["total"], held_tasks(site, run)) == (True, 2, GROUP)
        done = site.admin.ask("set_task_group_state", **asked)
        assert (done["done"], done["total"]) == (True, 2)
        assert held_tasks(site, run) == GROUP | {"middle.one": "failed", "middle.two": "failed"}
        site.admin.ask("set_task_group_state", **asked | {"new_state": "success"}, include_downstream=True)
        assert held_tasks(site, run) == dict.fromkeys(GROUP, "success") | {"before": None}
        assert held_state(site, run) in ("queued", "running")


def xcom(site: Site, run: Json, key: str) -> object:
    """The value of an XCom of "first", as Airflow says; its status where there is none."""
    status, held = site.rest("GET", f"/dags/still/dagRuns/{run['dag_run_id']}/taskInstances/first/xcomEntries/{key}")
    return held["value"] if status == 200 else status


def as_stored(site: Site, value: object, times: int) -> object:
    """A value as Airflow gives it back: before 3.2 it writes each one as JSON in a text, once or twice."""
    for _ in range(0 if site.since("3.2") else times):
        value = json.dumps(value)
    return value


@newer("3.0", dag_id="still", dag_run_id="none", task_id="first", xcom_key="loaves", value=1)
def create_xcom(site: Site) -> None:
    first: Json = {"task_id": "first", "xcom_key": "loaves"}
    value = {"city": "Zürich", "amounts": [1, 2.5, None]}
    with passing_run(site, "xcom-new") as run:
        answer = site.admin.ask("create_xcom", **run, **first, value=value)
        stored = as_stored(site, value, 1)
        assert (answer["key"], answer["value"], xcom(site, run, "loaves")) == ("loaves", stored, stored)
        assert "(409)" in site.admin.refusal("create_xcom", **run, **first, value=2)
        assert xcom(site, run, "loaves") == stored
        mapped = {**first, "task_id": "each", "map_index": 1}
        assert site.admin.ask("create_xcom", **run, **mapped, value="x")["map_index"] == 1
        assert site.admin.ask("get_xcom", **run, **mapped)["value"] == as_stored(site, "x", 1)


@newer("3.0", dag_id="still", dag_run_id="none", task_id="first", xcom_key="loaves", value=1)
def update_xcom(site: Site) -> None:
    first: Json = {"task_id": "first", "xcom_key": "loaves"}
    with passing_run(site, "xcom-set") as run:
        site.admin.ask("create_xcom", **run, **first, value=1)
        for value in ({"für": ["Zoë"]}, "text", False, 0):
            answer = site.admin.ask("update_xcom", **run, **first, value=value)
            stored = as_stored(site, value, 2)
            assert (answer["value"], xcom(site, run, "loaves")) == (stored, stored)
        assert "(404)" in site.admin.refusal("update_xcom", **run, task_id="first", xcom_key="none", value=1)


@newer("3.2", dag_id="still", dag_run_id="none", task_id="first", xcom_key="loaves")
def delete_xcom(site: Site) -> None:
    first: Json = {"task_id": "first", "xcom_key": "loaves"}
    with passing_run(site, "xcom-gone") as run:
        for key in ("loaves", "crumbs"):
            site.admin.ask("create_xcom", **run, task_id="first", xcom_key=key, value=1)
        plan = site.admin.planned("delete_xcom", **run, **first)
        assert xcom(site, run, "loaves") == 1
        assert site.admin.ask("delete_xcom", **run, **first, plan=plan)["done"] is True
        assert (xcom(site, run, "loaves"), xcom(site, run, "crumbs")) == (404, 1)


CHANGES: dict[str, Row] = {
    row.__name__: row
    for row in (
        set_task_instance_note,
        delete_task_instance,
        bulk_task_instances,
        set_task_group_state,
        create_xcom,
        update_xcom,
        delete_xcom,
    )
}
