"""A backfill: what its dry run says about runs that are there already, and waiting until it is over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.permissions.support import connected
from tests.unit.assistant import Json, assistant, calls_of, table
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, page

pytestmark = pytest.mark.anyio
RANGE: Json = {"dag_id": "etl", "from_date": "2026-11-01T00:00:00Z", "to_date": "2026-11-04T00:00:00Z"}
ALLOW: Json = {"allow": [{"tools": ["create_backfill"]}, {"tools": ["@read"]}]}
IN_RANGE = {"logical_date_gte": RANGE["from_date"], "logical_date_lte": RANGE["to_date"]}
ENDS = ("success", "failed")


def date(day: int) -> str:
    return f"2026-11-{day:02d}T00:00:00Z"


def run_of(day: int, state: str, run_type: str = "scheduled", **fields: Any) -> Json:
    """A run for this day of November."""
    moment = fields.pop("logical_date", date(day))
    return dag_run(f"{run_type}__{day}", state, dag_id="etl", logical_date=moment, run_type=run_type) | fields


def airflow_with(*runs: Json) -> FakeAirflow:
    """An Airflow 3.3.2 that leaves out of a backfill what it leaves out (models/backfill.py)."""

    def dry_run(sent: Sent) -> Json:
        behavior = sent.body.get("reprocess_behavior", "none")
        taken = {"none": (), "failed": ("failed",), "completed": ENDS}[behavior]
        held = {run["logical_date"]: run["state"] for run in runs}
        dates = [date(day) for day in range(1, 5) if held.get(date(day)) in (None, *taken)]
        return page(
            "backfills", [{"logical_date": one, "partition_key": None, "partition_date": None} for one in dates]
        )

    airflow = FakeAirflow("3.3.2").on("POST", "/backfills/dry_run", dry_run)
    airflow.on("POST", "/backfills", {"id": 7, **RANGE, "reprocess_behavior": "none", "max_active_runs": 16})
    return airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", list(runs)))


async def dry_run(airflow: FakeAirflow, **arguments: Any) -> Json:
    async with connected(airflow, ALLOW) as someone:
        return await someone.ask("create_backfill", **RANGE, **arguments)


async def test_a_dry_run_says_which_dates_have_runs_and_what_becomes_of_them() -> None:
    runs = (run_of(1, "success"), run_of(2, "failed"), run_of(3, "running"), run_of(3, "success", "manual"))
    runs[3]["logical_date"] = "2026-11-03T11:12:13Z"
    airflow = airflow_with(*runs)
    answer = await dry_run(airflow, reprocess_behavior="failed")
    assert table(answer) == [
        {"logical_date": date(2), "dag_run_id": "scheduled__2", "state": "failed", "then": "cleared, runs again"},
        {"logical_date": date(4), "dag_run_id": None, "state": None, "then": "a new run"},
    ]
    said = "Dates whose runs stay as they are: 2 (2026-11-01T00:00:00Z success, 2026-11-03T00:00:00Z running)"
    assert said in answer["hint"]
    assert "takes dates without a run and those whose run failed, and never one in flight" in answer["hint"]
    assert "Other runs between these dates, started by hand or by assets: 1." in answer["hint"]
    assert "Nothing was changed" in answer["hint"], "and that with the plan it is done"
    assert airflow.lines() == ["POST /backfills/dry_run", "GET /dags/etl/dagRuns"]
    assert IN_RANGE.items() <= airflow.last("GET").asked.items()


async def test_by_default_dates_with_runs_are_left_out_and_said_to_be() -> None:
    answer = await dry_run(airflow_with(run_of(1, "success"), run_of(2, "failed")))
    assert [row["logical_date"] for row in table(answer)] == [date(3), date(4)]
    assert "Dates whose runs stay as they are: 2" in answer["hint"]
    assert "'none' takes only dates without a run." in answer["hint"]


@pytest.mark.parametrize("behavior", ["none", "failed", "completed"])
async def test_where_no_date_has_a_run_that_is_said_once(behavior: str) -> None:
    answer = await dry_run(airflow_with(), reprocess_behavior=behavior)
    assert answer["columns"] == ["logical_date"]
    assert "None of these dates has a run." in answer["hint"]


async def test_the_preview_of_a_call_without_a_plan_says_it_too_and_the_plan_does_it() -> None:
    airflow = airflow_with(run_of(1, "success"), run_of(2, "failed"))
    async with connected(airflow, {"allow": [{"tools": ["*"], "confirm": "plan"}]}) as someone:
        asked = {**RANGE, "reprocess_behavior": "completed", "dry_run": False}
        preview = (await someone.ask("create_backfill", **asked))["preview"]
        assert [row["then"] for row in table(preview)] == ["cleared, runs again"] * 2 + ["a new run"] * 2
        shown = await someone.ask("create_backfill", **RANGE)
        assert [row["logical_date"] for row in table(shown)] == [date(3), date(4)]
        assert (await someone.ask("create_backfill", **RANGE, plan=shown["plan"]))["id"] == 7
    assert airflow.lines().count("POST /backfills") == 1


async def test_the_run_that_began_last_is_the_one_that_counts() -> None:
    runs = [run_of(2, "failed", start_date="2026-11-05T00:00:00Z", dag_run_id="again")]
    runs += [run_of(2, "success", start_date="2026-11-03T00:00:00Z"), run_of(2, "queued", start_date=None)]
    airflow = airflow_with(*runs).on("POST", "/backfills/dry_run", page("backfills", [{"logical_date": date(2)}]))
    (row,) = table(await dry_run(airflow, reprocess_behavior="failed"))
    assert (row["dag_run_id"], row["state"]) == ("again", "failed")


async def test_dates_of_partitions_are_compared_by_their_keys() -> None:
    runs = [run_of(1, "failed", logical_date=None, partition_key="eu"), run_of(2, "success", logical_date=None)]
    rows = [{"logical_date": None, "partition_key": key} for key in ("eu", "us")]
    airflow = airflow_with(*runs).on("POST", "/backfills/dry_run", page("backfills", rows))
    answer = await dry_run(airflow, reprocess_behavior="failed")
    assert [row["then"] for row in table(answer)] == ["stays, a new run beside it", "a new run"]
    assert not set(IN_RANGE) & airflow.last("GET").asked.keys(), "which have no date to be found by"


async def test_the_runs_are_read_in_a_bounded_number_of_pages() -> None:
    many = [run_of(1, "success", logical_date=f"2026-11-01T00:{n // 60:02d}:{n % 60:02d}Z") for n in range(100)]
    airflow = airflow_with().on("GET", "/dags/etl/dagRuns", page("dag_runs", many, 10_000))
    answer = await dry_run(airflow)
    assert airflow.lines().count("GET /dags/etl/dagRuns") == 5
    assert "Only the newest 500 of 10000 runs were compared." in answer["hint"]
    assert "and 89 more" in answer["hint"]


async def test_what_policy_or_airflow_keeps_from_being_read_is_said() -> None:
    async with connected(
        airflow_with(run_of(1, "failed")), {**ALLOW, "deny": [{"tools": ["list_dag_runs"]}]}
    ) as someone:
        assert "policy hides the DAG's runs" in (await someone.ask("create_backfill", **RANGE))["hint"]
    broken = airflow_with().on("GET", "/dags/etl/dagRuns", Reply(500, {"detail": "it broke"}))
    answer = await dry_run(broken)
    assert len(table(answer)) == 4
    assert "was not read" in answer["hint"]


def waiting(*looks: list[str], total: int | None = None, **fields: Any) -> FakeAirflow:
    """An Airflow whose backfill's runs are in these states, one look after another."""
    backfill = {"id": 7, **RANGE, "is_paused": False, "completed_at": None, "created_at": "2026-11-05T00:00:00Z"}
    pages = [
        page("dag_runs", [run_of(n, state, "backfill") for n, state in enumerate(look, 1)], total) for look in looks
    ]
    airflow = (
        FakeAirflow("3.3.2").on("GET", "/backfills/7", backfill | fields).on("GET", "/dags/etl", dag(dag_id="etl"))
    )
    airflow.on("GET", "/dags/etl", dag(dag_id="etl", is_paused=False))
    return airflow.on("GET", "/dags/etl/dagRuns", *pages)


async def test_waiting_ends_with_the_last_run_and_names_those_that_failed() -> None:
    airflow = waiting(["success", "running"], ["success", "failed"])
    told: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with assistant(airflow) as someone:
        result = await someone.client.call_tool(
            "wait_for_backfill", {"backfill_id": 7, "timeout_seconds": 20}, progress_callback=progress
        )
    assert result.structured_content == {
        "backfill_id": 7,
        "dag_id": "etl",
        "finished": True,
        "runs": {"failed": 1, "success": 1},
        "failed_runs": ["backfill__2"],
    }
    assert told == ["backfill 7: 1 running, 1 success", "backfill 7: 1 failed, 1 success"]
    asked = airflow.last("GET", "/dags/etl/dagRuns").asked
    assert asked["run_type"] == "backfill"
    assert asked["updated_at_gte"] == "2026-11-05T00:00:00Z", "none of an earlier backfill of the same dates"


@pytest.mark.parametrize(
    ("fields", "paused", "words", "calls"),
    [
        ({"is_paused": True}, False, "The backfill is paused", ("unpause_backfill", {"backfill_id": 7})),
        ({}, True, "The DAG is paused", ("unpause_dag", {"dag_id": "etl"})),
    ],
)
async def test_what_is_paused_is_not_waited_for(fields: Json, paused: bool, words: str, calls: Any) -> None:
    airflow = waiting(["queued"], **fields).on("GET", "/dags/etl", dag(dag_id="etl", is_paused=paused))
    async with assistant(airflow) as someone:
        answer = await someone.ask("wait_for_backfill", backfill_id=7)
    assert (answer["finished"], words in answer["hint"]) == (False, True)
    assert calls_of(answer) == [calls, ("wait_for_backfill", {"backfill_id": 7})]


async def test_a_backfill_that_airflow_has_completed_is_over_whatever_its_runs() -> None:
    for look in ([], ["queued"]):
        async with assistant(waiting(look, completed_at="2026-11-06T00:00:00Z")) as someone:
            answer = await someone.ask("wait_for_backfill", backfill_id=7)
        assert (answer["finished"], answer["completed_at"]) == (True, "2026-11-06T00:00:00Z")


async def test_of_a_backfill_of_many_runs_each_state_is_counted_by_airflow() -> None:
    states = {"queued": 0, "running": 0, "success": 340, "failed": 60}

    def runs(sent: Sent) -> Json:
        state = sent.asked.get("state")
        rows = [run_of(n, state or "success", "backfill") for n in range(int(sent.asked["limit"]))]
        count = sum(states.values()) if state is None else states[state]
        return page("dag_runs", rows[:count], count)

    airflow = waiting(["success"]).on("GET", "/dags/etl/dagRuns", runs)
    async with assistant(airflow) as someone:
        answer = await someone.ask("wait_for_backfill", backfill_id=7)
    assert (answer["finished"], answer["runs"]) == (True, {"success": 340, "failed": 60})
    assert len(answer["failed_runs"]) == 10
    assert airflow.lines().count("GET /dags/etl/dagRuns") == 5


async def test_time_that_is_over_is_told_with_the_call_that_goes_on() -> None:
    async with assistant(waiting(["running"])) as someone:
        answer = await someone.ask("wait_for_backfill", backfill_id=7, timeout_seconds=1)
        assert answer["hint"] == "Not finished after 1 seconds; the backfill goes on."
        assert calls_of(answer) == [("wait_for_backfill", {"backfill_id": 7})]
        assert "(404)" in await someone.refused("wait_for_backfill", backfill_id=99)


async def test_a_backfill_of_a_denied_dag_is_not_waited_for() -> None:
    airflow = waiting(["success"])
    deny: Json = {"deny": [{"tools": ["*"], "dags": ["etl"]}]}
    async with connected(airflow, deny) as someone:
        await someone.refused("wait_for_backfill", backfill_id=7)
    assert "GET /dags/etl/dagRuns" not in airflow.lines()
