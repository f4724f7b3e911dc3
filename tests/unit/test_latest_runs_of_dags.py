"""A page of DAGs brings the latest run of each, in a number of requests that does not grow with the DAGs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.permissions.support import NO_PAYROLL, connected
from tests.unit.assistant import GENERATIONS, Json, assistant, table
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, dag_run_v1, dag_v1, page

pytestmark = pytest.mark.anyio
every_version = pytest.mark.parametrize("version", GENERATIONS)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
RUNS = "POST /dags/~/dagRuns/list"
ADDED = ("latest_run_state", "latest_run_at", "latest_run_seconds")


def airflow_of(version: str, every: dict[str, float], runs: int = 400) -> FakeAirflow:
    """An Airflow of DAGs with this many runs each, the latest of which began so many hours apart; 0 for no run."""
    new = version.startswith("3")
    rows: list[tuple[datetime, Json]] = []
    for number, (dag_id, hours) in enumerate(every.items()):
        for back in range(runs if hours else 0):
            begin = NOW - timedelta(hours=hours * (back + 1), seconds=number)
            ends = {"start_date": begin.isoformat(), "end_date": (begin + timedelta(seconds=90)).isoformat()}
            took = {"duration": 90.0} if new else {}
            state = "failed" if back == 0 else "success"
            rows.append((begin, (dag_run if new else dag_run_v1)(f"r{back}", state, dag_id=dag_id, **ends, **took)))
    rows.sort(key=lambda row: row[0], reverse=True)

    def latest(sent: Sent) -> Json:
        fitting = [row for _, row in rows if row["dag_id"] in sent.body["dag_ids"]]
        assert sent.body["order_by"] == ("-run_after" if new else "-execution_date")
        return page("dag_runs", fitting[: sent.body["page_limit"]], len(fitting))

    dags = [(dag if new else dag_v1)(dag_id=dag_id) for dag_id in every]
    return FakeAirflow(version).on("GET", "/dags", page("dags", dags)).on("POST", "/dags/~/dagRuns/list", latest)


@every_version
async def test_each_dag_has_its_latest_run_beside_it(version: str) -> None:
    airflow = airflow_of(version, {"daily": 24, "hourly": 1, "never": 0})
    async with assistant(airflow) as someone:
        answer = await someone.ask("list_dags", latest_run=True)
        rows = {row["dag_id"]: tuple(row[name] for name in ADDED) for row in table(answer)}
        assert rows == {
            "daily": ("failed", "2026-11-20T00:00:00Z", 90),
            "hourly": ("failed", "2026-11-20T22:59:59Z", 90),
            "never": (None, None, None),
        }
        assert "hint" not in answer
        assert airflow.lines() == ["GET /dags", RUNS, RUNS][: len(airflow.lines())]
        plain = await someone.ask("list_dags")
        assert not set(ADDED) & set(plain["columns"]), "nobody pays for what they did not ask for"


@every_version
async def test_a_busy_dag_does_not_hide_the_runs_of_the_others(version: str) -> None:
    every = {"minutely": 1 / 60} | {f"hourly_{n}": 1 for n in range(40)} | {f"daily_{n}": 24 for n in range(59)}
    airflow = airflow_of(version, every)
    async with assistant(airflow) as someone:
        answer = await someone.ask("list_dags", latest_run=True, max_chars=60_000)
    assert all(row["latest_run_state"] == "failed" for row in table(answer))
    assert "hint" not in answer
    assert airflow.lines().count(RUNS) <= 4, "one for each order of size between how often they run"


async def test_the_requests_are_bounded_and_what_was_not_reached_is_told() -> None:
    airflow = airflow_of("3.3.2", {f"d{n:02d}": 24.0 for n in range(20)})

    def one_at_a_time(sent: Sent) -> Json:
        first = sent.body["dag_ids"][0]
        return page("dag_runs", [dag_run(f"r{n}", "success", dag_id=first) for n in range(100)], 100_000)

    airflow.on("POST", "/dags/~/dagRuns/list", one_at_a_time)
    async with assistant(airflow) as someone:
        answer = await someone.ask("list_dags", latest_run=True)
    reached = [row["dag_id"] for row in table(answer) if row["latest_run_state"]]
    assert (len(reached), airflow.lines().count(RUNS)) == (8, 8)
    assert "The latest runs of 12 DAGs" in answer["hint"]
    assert "d08" in answer["hint"]


@every_version
async def test_only_runs_that_the_caller_may_list_are_asked_for(version: str) -> None:
    airflow = airflow_of(version, {"etl_a": 24, "payroll_a": 24})
    no_runs: Json = {"tools": ["list_dag_runs"], "dags": ["etl_*"]}
    for deny, shown, asked in (
        ([NO_PAYROLL], {"etl_a": "failed"}, [["etl_a"]]),
        ([NO_PAYROLL, no_runs], {"etl_a": None}, []),
    ):
        airflow.sent.clear()
        async with connected(airflow, {"allow": [{"tools": ["*"]}], "deny": deny}) as someone:
            answer = await someone.ask("list_dags", latest_run=True)
        assert {row["dag_id"]: row.get("latest_run_state") for row in table(answer)} == shown
        assert [sent.body["dag_ids"] for sent in airflow.sent if sent.line == RUNS] == asked
        assert ("policy hides them" in answer["hint"]) == (not asked)


@every_version
async def test_the_dags_are_listed_where_their_runs_cannot_be_read(version: str) -> None:
    airflow = airflow_of(version, {"daily": 24}).on("POST", "/dags/~/dagRuns/list", Reply(500, {"detail": "it broke"}))
    async with assistant(airflow) as someone:
        answer = await someone.ask("list_dags", latest_run=True)
    assert [row["dag_id"] for row in table(answer)] == ["daily"]
    assert "were not read" in answer["hint"]


async def test_a_run_that_waits_is_told_with_the_time_it_was_due() -> None:
    airflow = airflow_of("3.3.2", {"daily": 24})
    waiting: dict[str, Any] = {"start_date": None, "end_date": None, "duration": None}
    airflow.on("POST", "/dags/~/dagRuns/list", page("dag_runs", [dag_run("r1", "queued", dag_id="daily", **waiting)]))
    async with assistant(airflow) as someone:
        (row,) = table(await someone.ask("list_dags", latest_run=True))
    assert (row["latest_run_state"], row["latest_run_at"]) == ("queued", "2026-11-21T22:46:38Z")
    assert "latest_run_seconds" not in row
