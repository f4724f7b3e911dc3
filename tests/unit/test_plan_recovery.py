"""Running again what failed: the plan, what is left out of it and why, and each step of doing it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.permissions.support import connected
from tests.unit.assistant import GENERATIONS, Assistant
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag_run, dag_run_v1, page, task_instance

pytestmark = pytest.mark.anyio
every_version = pytest.mark.parametrize("version", GENERATIONS)
Json = dict[str, Any]
SINCE = "2026-11-21T00:00:00Z"
ALLOWED: Json = {"allow": [{"tools": ["clear_task_instances", "create_backfill"]}]}


class World:
    """DAGs with failed runs, and the task instances that a clear of each would reach."""

    def __init__(self, version: str, runs: dict[tuple[str, str], list[str]], **dags: Json) -> None:
        self.runs = runs
        self.cleared: list[str] = []
        self.broken: set[str] = set()
        made = dag_run if version.startswith("3") else dag_run_v1
        self.airflow = FakeAirflow(version)
        for dag_id in {dag_id for dag_id, _ in runs}:
            mine = [made(run_id, "failed", dag_id=dag_id) for dag, run_id in runs if dag == dag_id]
            stale = {"is_stale": False} if version.startswith("3") else {"is_active": True}
            self.airflow.on(
                "GET", f"/dags/{dag_id}", {"dag_id": dag_id, "is_paused": False, **stale, **dags.get(dag_id, {})}
            )
            self.airflow.on("GET", f"/dags/{dag_id}/dagRuns", page("dag_runs", mine))
            self.airflow.on("POST", f"/dags/{dag_id}/clearTaskInstances", self._clear)
        for dag_id, run_id in runs:
            self.airflow.on("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", self._list)
            self.airflow.on("GET", f"/dags/{dag_id}/dagRuns/{run_id}", made(run_id, "failed", dag_id=dag_id))

    def _rows(self, dag_id: str, run_id: str) -> Json:
        tasks = [task_instance(task, dag_id=dag_id, dag_run_id=run_id) for task in self.runs[dag_id, run_id]]
        return page("task_instances", tasks)

    def _list(self, sent: Sent) -> Json:
        parts = sent.path.split("/")
        return self._rows(parts[2], parts[4])

    def _clear(self, sent: Sent) -> Any:
        dag_id, run_id = sent.path.split("/")[2], sent.body["dag_run_id"]
        assert sent.body["only_failed"] is True
        rows = self._rows(dag_id, run_id)
        if not sent.body["dry_run"]:
            if run_id in self.broken:
                return Reply(409, {"detail": "task is running"})
            self.cleared.append(run_id)
        return rows


async def planned(someone: Assistant, **arguments: Any) -> Json:
    """The preview of doing it."""
    return await someone.ask("plan_recovery", since=SINCE, dry_run=False, **arguments)


@every_version
async def test_a_dry_run_shows_each_run_in_order_and_what_is_left_out_and_why(version: str) -> None:
    runs = {("etl", "r1"): ["load", "publish"], ("etl", "r2"): [], ("sales", "s1"): ["copy"], ("old", "o1"): ["x"]}
    world = World(version, runs, sales={"is_paused": True}, old={"is_stale": True, "is_active": False})
    async with connected(world.airflow, ALLOWED) as someone:
        answer = await someone.ask("plan_recovery", dag_ids=["etl", "sales", "old"], since=SINCE)
    assert (answer["affected"], answer["runs"]) == (2, 1)
    assert answer["steps"] == [{"dag_run": "r1", "dag_id": "etl", "task_instances": 2, "which": "load, publish"}]
    reasons = " ".join(answer["excluded"])
    assert "etl/r2: no task instance of it failed" in reasons
    assert "sales: 1 failed runs, but it is paused" in reasons
    assert "old: 1 failed runs, but its file is gone" in reasons
    assert world.cleared == []


@every_version
async def test_a_confirmed_plan_clears_run_by_run_and_reports_each(version: str) -> None:
    world = World(version, {("etl", "r1"): ["load"], ("etl", "r2"): ["load", "publish"], ("sales", "s1"): ["copy"]})
    world.broken = {"r2"}
    dags: Json = {"dag_ids": ["etl", "sales"]}
    heard: list[str] = []
    async with connected(world.airflow, ALLOWED) as someone:
        preview = await planned(someone, **dags)
        assert preview["preview"]["affected"] == 4
        assert world.cleared == []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(f"{progress:g}/{total:g} {message}")

        call = {**dags, "since": SINCE, "dry_run": False, "plan": preview["plan"]}
        result = await someone.client.call_tool("plan_recovery", call, progress_callback=hear)
    answer = result.structured_content or {}
    assert world.cleared == ["r1", "s1"]
    assert (answer["done"], answer["affected"]) == (False, 2)
    assert "task is running" in answer["steps"][1]["error"]
    assert "1 of 3 runs were not cleared" in answer["hint"]
    assert heard[-1] == "3/3 sales/s1: 1 cleared"


@every_version
async def test_a_set_that_grew_since_the_preview_is_not_cleared(version: str) -> None:
    world = World(version, {("etl", "r1"): ["load"]})
    async with connected(world.airflow, ALLOWED) as someone:
        plan = (await planned(someone, dag_ids=["etl"]))["plan"]
        world.runs["etl", "r1"].append("publish")
        sentence = await someone.refused("plan_recovery", dag_ids=["etl"], since=SINCE, dry_run=False, plan=plan)
    assert "they changed since the preview" in sentence
    assert world.cleared == []


@every_version
async def test_a_cap_and_a_rule_about_dags_hold_for_the_whole_plan(version: str) -> None:
    world = World(version, {("etl", "r1"): ["a", "b", "c"], ("payroll", "p1"): ["pay"]})
    capped: Json = {"allow": [{"tools": ["clear_task_instances"], "max_affected": 2, "confirm": "never"}]}
    async with connected(world.airflow, capped) as someone:
        sentence = await someone.refused("plan_recovery", dag_ids=["etl"], since=SINCE, dry_run=False)
        assert "would touch 3 objects; 2 are allowed" in sentence
    scoped: Json = {"allow": [{"tools": ["clear_task_instances"], "dags": ["etl"], "confirm": "never"}]}
    async with connected(world.airflow, scoped) as someone:
        assert "not allowed" in await someone.refused("plan_recovery", dag_ids=["etl", "payroll"], since=SINCE)
        assert (await planned(someone, dag_ids=["etl"]))["done"] is True
    assert world.cleared == ["r1"]


async def test_a_step_reaches_nothing_that_was_not_confirmed() -> None:
    world = World("3.3.2", {("etl", "r1"): ["load"], ("etl", "r2"): ["load"]})
    clear = world._clear  # pyright: ignore[reportPrivateUsage]

    def grow(sent: Sent) -> Any:
        answer = clear(sent)
        if not sent.body["dry_run"]:
            world.runs["etl", "r2"] = ["load", "pay_everybody"]  # meanwhile, somebody else's doing
        return answer

    world.airflow.on("POST", "/dags/etl/clearTaskInstances", grow)
    async with connected(world.airflow, ALLOWED) as someone:
        plan = (await planned(someone, dag_ids=["etl"]))["plan"]
        answer = await planned(someone, dag_ids=["etl"], plan=plan)
    assert world.cleared == ["r1"]
    assert "etl/r2/pay_everybody" in answer["steps"][1]["error"]
    assert "not confirmed" in answer["steps"][1]["error"]


async def test_a_backfill_shows_its_dates_and_starts_once_confirmed() -> None:
    dates = [{"logical_date": f"2026-11-0{day}T00:00:00Z", "partition_key": None} for day in (1, 2, 3)]
    airflow = FakeAirflow().on("POST", "/backfills/dry_run", {"backfills": dates, "total_entries": 3})
    airflow.on("POST", "/backfills", {"id": 7, "dag_id": "etl"}).on("GET", "/dags/etl", {"dag_id": "etl"})
    call: Json = {"dag_ids": ["etl"], "until": "2026-11-04T00:00:00Z", "mode": "backfill"}
    async with connected(airflow, ALLOWED) as someone:
        shown = await someone.ask("plan_recovery", **call, since=SINCE)
        assert shown["dates"] == [row["logical_date"] for row in dates]
        plan = (await planned(someone, **call))["plan"]
        answer = await planned(someone, **call, plan=plan)
        sentence = await someone.refused("plan_recovery", dag_ids=["a", "b"], since=SINCE, mode="backfill")
    assert (answer["done"], answer["backfill_id"], answer["affected"]) == (True, 7, 3)
    (made,) = [sent for sent in airflow.sent if sent.path == "/backfills"]
    assert made.body["reprocess_behavior"] == "failed"
    assert "exactly one DAG" in sentence
