"""What a workflow answers leaves as far as its record's `keep` goes, and no further: tried with every workflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_mcp.catalog.loader import Catalog, load_catalog
from tests.unit.assistant import assistant
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, page, pool, task_instance

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
CATALOG = load_catalog()
IDS: Json = {"dag_id": "etl", "dag_run_id": "r"}
QUESTION: Json = {"options": ["yes"], "params": {}, "response_received": False, "chosen_options": ["yes"]}
CALLS: dict[str, Json] = {
    "answer_hitl_detail": IDS | {"task_id": "load", "chosen_options": ["yes"]},
    "diagnose_dag_run": IDS,
    "explain_permission": {"tool": "list_dags"},
    "find_tools": {"query": "list pools"},
    "get_dag_overview": {"dag_id": "etl"},
    "health_report": {},
    "plan_recovery": {"dag_ids": ["etl"], "since": "2026-01-01T00:00:00Z"},
    "read_task_log": IDS | {"task_id": "load"},
    "resolve_url": {"url": "http://airflow.example:8080/dags/etl/runs/r"},
    "trigger_and_wait": {"dag_id": "etl"},
    "trigger_dag_run": {"dag_id": "etl"},
    "wait_for_backfill": {"backfill_id": 5},
    "wait_for_dag_run": IDS,
    "why_not_running": {"dag_id": "etl"},
}
BY_THE_DOOR = {"left_out", "more", "plan", "next"}  # what it says of an answer that it cut, and how a dry run is done


def workflows() -> list[str]:
    return [tool.name for tool in CATALOG.tools.values() if tool.entry.python]


def airflow() -> FakeAirflow:
    """An Airflow with one DAG and a failed run, which answers everything that a workflow asks for."""
    run, failed = dag_run("r", "failed"), task_instance("load", "failed", dag_run_id="r")
    replies: dict[str, Any] = {
        "/dags/etl": dag(is_paused=False),
        "/dags/etl/details": dag(is_paused=False),
        "/dags/etl/dagRuns/r": run,
        "/dags/etl/tasks": {"tasks": [{"task_id": "load", "downstream_task_ids": []}], "total_entries": 1},
        "/backfills/5": {"id": 5, "dag_id": "etl", "is_paused": False, "completed_at": None},
        "/pools": page("pools", [pool()]),
        "/monitor/health": {},
        "/dags/etl/dagRuns/r/taskInstances/load": failed,
        "/dags/etl/dagRuns/r/taskInstances/load/-1/hitlDetails": QUESTION,
    }
    lists = {"dagRuns": run, "taskInstances": failed}

    def answer(sent: Sent) -> Any:
        if sent.method == "GET" and sent.path in replies:
            return replies[sent.path]
        if "/logs/" in sent.path:
            return Reply(200, '{"event": "hello"}\n')
        if sent.path == "/dags/etl/clearTaskInstances":
            return page("task_instances", [failed])
        if sent.method == "POST":
            listed = sent.path.endswith("/list")
            return page("dag_runs", [run]) if listed else dag_run(sent.body["dag_run_id"], "success")
        if sent.method == "PATCH":
            return QUESTION | {"response_received": True}
        name = sent.path.rpartition("/")[2]
        if name in lists:
            return page("dag_runs" if name == "dagRuns" else "task_instances", [lists[name]])
        if "/dagRuns/mcp__" in sent.path:
            return dag_run(name, "success")
        return Reply(404, {"detail": "The object was not found"})

    return FakeAirflow().otherwise(answer)


def test_every_workflow_is_tried_here_and_has_a_record() -> None:
    assert set(CALLS) == set(workflows())
    assert [name for name in workflows() if CATALOG.tools[name].entry.record is None] == []


def only(name: str, field: str) -> Catalog:
    """The catalog in which this workflow's record keeps one field alone."""
    record = CATALOG.tools[name].entry.record or ""
    kept = CATALOG.records[record].model_copy(update={"keep": (field,), "row": ()})
    return replace(CATALOG, records=CATALOG.records | {record: kept})


@pytest.mark.parametrize("name", workflows())
async def test_what_is_not_in_keep_does_not_leave(name: str) -> None:
    async with assistant(airflow(), allow=("*", "@admin")) as someone:
        answer = await someone.ask(name, **CALLS[name])
    assert answer.keys() <= {*CATALOG.records[CATALOG.tools[name].entry.record or ""].keep, *BY_THE_DOOR}
    field = next(iter(answer))
    async with assistant(airflow(), allow=("*", "@admin"), catalog=only(name, field)) as someone:
        assert (await someone.ask(name, **CALLS[name])).keys() <= {field, *BY_THE_DOOR}
