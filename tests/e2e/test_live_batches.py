"""Lists of several DAGs, runs and tasks at once, pages by cursor, and the states of several tasks."""

from __future__ import annotations

from typing import Any

from .changes import held_tasks
from .changes_tasks import GROUP
from .harness import OK_RUNS, Json, Site, rows_of
from .passing import passing_run


def walked(site: Site, tool: str, **arguments: Any) -> list[Json]:
    """Every row of a list, by following its cursor."""
    rows: list[Json] = []
    page: Json = {"cursor": "", "limit": 1}
    while page:
        answer = site.reader.ask(tool, **arguments, **{"limit": 1} | page)
        rows += rows_of(answer)
        page = answer.get("more", {})
    return rows


def named(row: Json) -> tuple[Any, ...]:
    """What tells a row from the others of its list."""
    return tuple(row.get(name) for name in ("dag_run_id", "task_id", "map_index"))


def test_runs_of_several_dags_come_in_one_list(site: Site) -> None:
    site.all_ended()
    runs = site.reader.rows("list_dag_runs", dag_id="~", dag_ids=["ok", "mapped"])
    assert [(row["dag_id"], row["dag_run_id"]) for row in runs if row["dag_id"] == "mapped"] == [("mapped", "map-1")]
    assert [row["dag_run_id"] for row in runs if row["dag_id"] == "ok"] == list(reversed(OK_RUNS))
    assert len(runs) == 1 + len(OK_RUNS)
    failed = site.reader.rows("list_dag_runs", dag_id="~", dag_ids=["ok", "mapped"], state=["failed"])
    assert {row["dag_run_id"] for row in failed} == {"map-1"}
    page = site.reader.ask("list_dag_runs", dag_id="~", dag_ids=["ok"], limit=1, offset=1)
    assert (page["total"], rows_of(page)[0]["dag_run_id"], page["more"]) == (3, "ok-2", {"offset": 2})
    words = site.reader.refusal("list_dag_runs", dag_id="ok", dag_ids=["mapped"])
    assert "dag_ids goes with dag_id '~' only" in words


def test_task_instances_of_several_dags_runs_and_tasks_come_in_one_list(site: Site) -> None:
    site.all_ended()
    every: Json = {"dag_id": "~", "dag_run_id": "~"}
    rows = site.reader.rows("list_task_instances", **every, dag_ids=["ok", "mapped"], task_ids=["produce", "sail"])
    assert {(row["dag_id"], row["task_id"]) for row in rows} == {("ok", "produce"), ("mapped", "sail")}
    assert len(rows) == 1 + len(OK_RUNS)
    rows = site.reader.rows("list_task_instances", **every, dag_run_ids=["ok-1", "ok-3"])
    assert {row["dag_run_id"] for row in rows} == {"ok-1", "ok-3"}
    one: Json = {"dag_id": "mapped", "dag_run_id": "map-1", "task_ids": ["load"]}
    rows = site.reader.rows("list_task_instances", **one)
    assert {row["map_index"] for row in rows} == {0, 1, 2, 3, 4}
    rows = site.reader.rows("list_task_instances", **one, state=["failed"])
    assert 3 in {row["map_index"] for row in rows}
    assert {row["state"] for row in rows} == {"failed"}


def test_a_cursor_walks_a_list_to_its_end_where_airflow_has_cursors(site: Site) -> None:
    site.all_ended()
    lists: dict[str, Json] = {
        "list_dag_runs": {"dag_id": "ok"},
        "list_task_instances": {"dag_id": "mapped", "dag_run_id": "map-1"},
    }
    for tool, arguments in lists.items():
        if site.is_old:
            assert "cursor needs Airflow 3.2 or newer" in site.reader.refusal(tool, **arguments, cursor="")
            continue
        at_once = [named(row) for row in site.reader.rows(tool, **arguments)]
        assert len(set(at_once)) == len(at_once) >= 3
        assert [named(row) for row in walked(site, tool, **arguments)] == at_once
        assert "(400)" in site.reader.refusal(tool, **arguments, cursor="no-such-cursor")


def test_a_state_is_set_with_what_depends_on_it_and_a_dry_run_shows_it_first(site: Site) -> None:
    with passing_run(site, "state-set", "grouped") as run:
        asked: Json = {**run, "task_id": "middle.two", "new_state": "success"}
        for more, total in (({}, 1), ({"include_downstream": True}, 2), ({"include_upstream": True}, 3)):
            shown = site.admin.ask("set_task_instance_state", **asked, **more, dry_run=True)
            count = shown.get("total", 1)
            assert (shown["dry_run"], count, held_tasks(site, run)) == (True, total, GROUP)
        answer = site.admin.ask("set_task_instance_state", **asked, include_downstream=True)
        assert held_tasks(site, run) == GROUP | {"middle.two": "success", "after": "success"}
        assert answer.get("task_id", "middle.two") == "middle.two"
        answer = site.admin.ask("set_task_instance_state", **asked | {"new_state": "failed"})
        assert (answer["task_id"], answer["state"]) == ("middle.two", "failed")
        assert held_tasks(site, run) == GROUP | {"middle.two": "failed", "after": "success"}
