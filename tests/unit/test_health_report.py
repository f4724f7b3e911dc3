"""What needs attention on a whole Airflow, in one answer: counts are the server's, the same error is one cause."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mcp import Client

from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.dispatcher import Dispatcher
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.policy.rules import parse_policy
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.workflows import load_workflows
from tests.unit.assistant import A_TOKEN, GENERATIONS, Assistant, assistant, calls_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.logs import line, printed, raised, row
from tests.unit.samples import dag_run, page, pool, task_instance

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
RUNS = "/dags/~/dagRuns"
TASKS = f"{RUNS}/~/taskInstances"


def back(**ago: float) -> str:
    """A time that long ago, as Airflow writes it."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def health(**dead: str) -> Json:
    """Every component alive, but those that are named with their status."""
    return {
        name: {"status": dead.get(name, "healthy"), f"latest_{name}_heartbeat": back(minutes=12 if name in dead else 0)}
        for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
    }


def failed(dag_id: str, task_id: str = "load", **fields: Any) -> Json:
    """A failed task instance that ended a minute ago."""
    return task_instance(
        task_id, "failed", **{"dag_id": dag_id, "dag_run_id": "r", "end_date": back(minutes=1), **fields}
    )


def run_of(dag_id: str, dag_run_id: str = "r", state: str = "failed", **fields: Any) -> Json:
    """A run of that DAG."""
    return dag_run(dag_run_id, state, **{"dag_id": dag_id, "end_date": back(minutes=1), **fields})


class World:
    """An Airflow at rest; a test adds what is wrong with it."""

    def __init__(self, version: str = "3.3.2") -> None:
        self.airflow = FakeAirflow(version)
        self.old = version.startswith("2.")
        self.instances: list[Json] = []
        self.all_runs: list[Json] = []
        self.on("/health" if self.old else "/monitor/health", health())
        self.on("/importErrors", page("import_errors", []))
        self.on("/dagWarnings", page("dag_warnings", []))
        self.on("/pools", page("pools", [pool("default_pool", 128)]))
        self.on(RUNS, self._runs)
        self.on(TASKS, self._tasks)
        self.on("/eventLogs", page("event_logs", []))

    def on(self, path: str, *replies: Any) -> World:
        self.airflow.on("GET", path, *replies)
        return self

    def _tasks(self, sent: Sent) -> Json:
        return self._page("task_instances", sent, self.instances)

    def _runs(self, sent: Sent) -> Json:
        return self._page("dag_runs", sent, self.all_runs)

    @staticmethod
    def _page(key: str, sent: Sent, rows: list[Json]) -> Json:
        """Filtered by state and counted as Airflow does it."""
        asked, states = dict(sent.query), [value for name, value in sent.query if name == "state"]
        bound = asked.get("end_date_lte", "~")
        found = [row for row in rows if row["state"] in states and (row["end_date"] or "") <= bound]
        offset, limit = int(asked.get("offset", 0)), int(asked["limit"])
        return page(key, found[offset : offset + limit], len(found))

    def fails(self, *instances: Json) -> World:
        """These task instances failed, and so did their runs."""
        self.instances += instances
        self.all_runs += [run_of(dag_id) for dag_id in dict.fromkeys(row["dag_id"] for row in instances)]
        return self

    def log(self, dag_id: str, kind: str, message: str, task_id: str = "load", index: str = "") -> World:
        """The log of that task's first try: it ends in this exception."""
        text = (line("begin") + printed((kind, message))) if self.old else (row("begin") + raised((kind, message)))
        return self.on(f"/dags/{dag_id}/dagRuns/r/taskInstances/{task_id}/logs/1{index}", Reply(200, text))

    async def report(self, **arguments: Any) -> Json:
        async with assistant(self.airflow) as someone:
            return await someone.ask("health_report", **arguments)

    def logs_read(self) -> int:
        return sum("/logs/" in sent.path for sent in self.airflow.sent)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_airflow_at_rest_needs_nothing_and_takes_eight_requests(version: str) -> None:
    world = World(version)
    answer = await world.report()
    assert answer["attention"] == ["nothing"]
    assert answer["failures"] == {"runs": "no run failed"}
    assert answer["task_instances"] == {"running": 0, "queued": 0, "scheduled": 0, "deferred": 0, "up_for_retry": 0}
    assert "not_seen" not in answer
    assert len(world.airflow.sent) == 8
    assert {sent.method for sent in world.airflow.sent} == {"GET"}


@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_same_error_over_many_dags_is_one_cause(version: str) -> None:
    world = World(version).fails(failed("eu"), failed("us"), failed("asia", "send"), failed("other"))
    world.log("eu", "ConnectionRefusedError", "crm:443 refused batch 17")
    world.log("us", "ConnectionRefusedError", "crm:443 refused batch 2254")
    world.log("asia", "ConnectionRefusedError", "crm:443 refused batch 3", task_id="send")
    world.log("other", "KeyError", "'customer_id'")
    answer = await world.report()
    second, first = answer["failures"]["causes"]  # the latest first
    assert first["what"].startswith("ConnectionRefusedError: crm:443 refused batch ")
    assert (sorted(first["where"]), first["task_instances"]) == (["asia.send", "eu.load", "us.load"], 3)
    assert (first["runs"], first["dags"], first["differ_in"]) == (3, 3, "batch 3, batch 2254, batch 17")
    assert second["what"] == "KeyError: 'customer_id'"
    assert calls_of(second) == [("diagnose_dag_run", {"dag_id": "other", "dag_run_id": "r"})]
    assert answer["failures"]["runs"] == "4 runs failed, of 4 DAGs: eu, us, asia, other"
    assert answer["attention"] == ["4 failed runs, 4 failed task instances"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_more_failures_than_a_page_are_all_counted(version: str) -> None:
    shards = [failed("shards", map_index=number) for number in range(240)]
    world = World(version).fails(*shards, failed("late", end_date=back(hours=3)))
    for number in range(240):
        world.log("shards", "ValueError", f"shard {number} is empty")
    world.log("late", "KeyError", "'x'")
    answer = await world.report()
    assert answer["failures"]["task_instances"] == 241
    assert "counted" not in answer["failures"]
    causes = {cause["what"].partition(":")[0]: cause for cause in answer["failures"]["causes"]}
    assert causes["ValueError"]["where"] == ["shards.load x5"]
    assert causes["ValueError"]["failed_too_but_not_read"] == "235 of shards.load"
    assert causes["KeyError"]["where"] == ["late.load"]
    assert world.logs_read() == 6
    offsets = [
        int(dict(sent.query).get("offset", 0)) for sent in world.airflow.sent if ("state", "failed") in sent.query
    ]
    assert sorted(offsets) == [0, 0, 100, 200]  # the runs, and three pages of task instances


async def test_a_run_hidden_behind_three_pages_of_another_is_looked_at_all_the_same() -> None:
    world = World().fails(*(failed("shards", map_index=number) for number in range(700)), failed("hidden"))
    world.log("shards", "ValueError", "shard is empty").log("hidden", "KeyError", "'x'")
    world.airflow.on("POST", f"{TASKS}/list", page("task_instances", [failed("hidden")]))
    answer = await world.report()
    assert answer["failures"]["task_instances"] == 701
    assert answer["failures"]["counted"] == "by cause among 301 of 701: the counts below are lower bounds"
    assert "KeyError: 'x'" in [cause["what"] for cause in answer["failures"]["causes"]]


async def test_logs_are_read_newest_first_within_twenty_five_requests_and_the_next_call_goes_on() -> None:
    rows = [failed(f"dag{number:02}", end_date=back(minutes=number)) for number in range(1, 23)]
    world = World().fails(*rows, *(failed("often", map_index=number, end_date=back(hours=9)) for number in range(3)))
    for number in range(1, 23):
        world.log(f"dag{number:02}", f"Error{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[number]}", "no")
    world.log("often", "TimeoutError", "late")
    answer = await world.report(max_chars=20_000)
    assert (world.logs_read(), len(world.airflow.sent)) == (16, 25)
    unread = answer["failures"]["not_looked_at"]
    assert unread.startswith("logs of 7 more failed tasks, in 7 runs: often.load x3, dag17.load, ")
    looked = [name for cause in answer["failures"]["causes"] for name in cause["where"]]
    assert looked == [f"dag{number:02}.load" for number in range(1, 17)]
    assert answer["more"] == {"failed_before": rows[16]["end_date"].replace("+00:00", "Z")}
    world.airflow.sent.clear()
    rest = await world.report(max_chars=20_000, **answer["more"])
    assert len(world.airflow.sent) <= 25
    looked = [name for cause in rest["failures"]["causes"] for name in cause["where"]]
    assert looked == [*(f"dag{number:02}.load" for number in range(17, 23)), "often.load x3"]
    assert "more" not in rest
    assert "not_looked_at" not in rest["failures"]


async def test_a_log_that_cannot_be_read_is_said_and_the_others_are() -> None:
    world = World().fails(failed("eu"), failed("us")).log("us", "KeyError", "'x'")
    world.on("/dags/eu/dagRuns/r/taskInstances/load/logs/1", Reply(403, {"detail": "Forbidden"}))
    answer = await world.report()
    told = [cause["what"] for cause in answer["failures"]["causes"]]
    assert "KeyError: 'x'" in told
    assert any(what.startswith("Its log could not be read: ") for what in told)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dead_scheduler_stands_first(version: str) -> None:
    world = World(version).fails(failed("eu")).log("eu", "KeyError", "'x'")
    world.on("/health" if world.old else "/monitor/health", health(scheduler="unhealthy"))
    answer = await world.report()
    assert answer["attention"][0] == "scheduler unhealthy, last heartbeat 12 min ago"
    assert answer["processes"]["dead"] == ["The scheduler is not alive, so no run and no task starts."]


async def test_files_that_break_over_the_same_line_are_one_cause() -> None:
    trace = 'Traceback (most recent call last):\n  File "/dags/{0}.py", line 3, in <module>\n    import acme\n'
    errors = [
        {"import_error_id": number, "filename": f"{name}.py", "bundle_name": "b", "timestamp": back(minutes=number)}
        | {"stack_trace": trace.format("shared") + "ModuleNotFoundError: No module named 'acme'\n"}
        for number, name in enumerate(("a", "b", "c"), start=1)
    ]
    answer = await World().on("/importErrors", page("import_errors", errors, 3)).report()
    (cause,) = answer["import_errors"]["causes"]
    assert cause["what"] == "ModuleNotFoundError: No module named 'acme'"
    assert (cause["count"], cause["where"], calls_of(cause)) == (
        3,
        "a.py, b.py, c.py",
        [("get_import_error", {"import_error_id": 1})],
    )
    assert answer["attention"] == ["3 DAG files do not import"]


async def test_runs_whose_ids_look_alike_when_joined_are_each_held_against_their_own_age() -> None:
    world = World("3.3.2")
    world.all_runs = [
        run_of("b", "a", "running", start_date=back(hours=9), end_date=None),
        run_of("", "ab", "running", start_date=back(minutes=2), end_date=None),
        run_of("ab", "", "running", start_date=back(minutes=1), end_date=None),
    ]
    answer = await world.report()
    assert [(run["dag_id"], run["running_for"]) for run in answer["slow_runs"]["runs"]] == [("b", "9 h")]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_run_is_slow_by_its_dags_own_measure_or_else_after_six_hours(version: str) -> None:
    world = World(version)
    world.all_runs = [
        run_of("new", "n1", "running", start_date=back(hours=7), end_date=None),
        run_of("quick", "q1", "running", start_date=back(hours=1), end_date=None),
        run_of("slow", "s1", "running", start_date=back(hours=8), end_date=None),
        run_of("fresh", "f1", "running", start_date=back(minutes=5), end_date=None),
    ]
    successes: list[Json] = []
    for dag_id, hours in (("quick", 0.1), ("slow", 7.0)):
        old = [
            run_of(dag_id, f"{day}", "success", start_date=back(days=day, hours=hours), end_date=back(days=day))
            for day in range(1, 5)
        ]
        successes += old
    world.airflow.on("POST", f"{RUNS}/list", page("dag_runs", successes))
    answer = await world.report()
    told = [(run["dag_id"], run["running_for"], run.get("usually")) for run in answer["slow_runs"]["runs"]]
    assert told == [("new", "7 h", None), ("quick", "60 min", "6 min")]
    assert calls_of(answer["slow_runs"]["runs"][1]) == [("why_not_running", {"dag_id": "quick", "dag_run_id": "q1"})]
    assert "3 times the median" in answer["slow_runs"]["rule"]
    (sent,) = [sent for sent in world.airflow.sent if sent.method == "POST"]
    assert sent.body["dag_ids"] == ["new", "quick", "slow"]


async def test_a_full_pool_is_told_and_one_without_a_limit_is_not() -> None:
    full = pool("small", 2, open_slots=0, occupied_slots=2, scheduled_slots=5)
    world = World().on("/pools", page("pools", [pool("default_pool", -1, open_slots=-1), full]))
    answer = await world.report()
    assert [near["name"] for near in answer["pools"]["near_limit"]] == ["small"]
    assert answer["attention"] == ["1 pool full or nearly: small"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_task_that_nobody_takes_from_its_queue_is_told(version: str) -> None:
    world = World(version)
    world.instances = [
        task_instance("a", "queued", queued_when=back(seconds=5)),
        task_instance("b", "queued", queued_when=back(hours=3), queue="gpu"),
        task_instance("c", "running"),
    ]
    answer = await world.report()
    assert answer["attention"] == ["2 task instances queued, the longest 3 h ago"]
    assert answer["task_instances"]["longest_queued"] == "3 h ago, queue gpu"
    ids = {"dag_id": "etl", "dag_run_id": "manual__1", "task_id": "b"}
    assert calls_of(answer["task_instances"]) == [("why_not_running", ids)]
    assert (answer["task_instances"]["running"], answer["task_instances"]["queued"]) == (1, 2)


async def test_a_run_that_failed_without_a_failed_task_is_named() -> None:
    world = World()
    world.all_runs = [run_of("timeouts", "t1")]
    answer = await world.report()
    assert answer["failures"]["without_failed_task"] == "timeouts / t1 (a timeout, or set by hand?)"
    assert calls_of(answer["failures"]) == [("diagnose_dag_run", {"dag_id": "timeouts", "dag_run_id": "t1"})]


async def test_warnings_are_grouped_and_keep_their_kind() -> None:
    rows = [
        {"dag_id": name, "warning_type": "non-existent pool", "timestamp": back()}
        | {"message": "Dag 'x' references non-existent pools: ['gpu']"}
        for name in ("a", "b")
    ]
    answer = await World().on("/dagWarnings", page("dag_warnings", rows)).report()
    (cause,) = answer["warnings"]["causes"]
    assert cause["what"].startswith("non-existent pool: Dag 'x' references")
    assert (cause["count"], cause["where"]) == (2, "a, b")


async def test_what_may_not_be_seen_is_said_and_the_rest_is_reported() -> None:
    world = World().on("/pools", Reply(403, {"detail": "Forbidden"})).fails(failed("eu")).log("eu", "KeyError", "'x'")
    answer = await world.report()
    assert answer["not_seen"][0].startswith("pools: Airflow refuses list_pools")
    assert answer["failures"]["causes"][0]["what"] == "KeyError: 'x'"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_window_is_the_hours_asked_for(version: str) -> None:
    world = World(version)
    answer = await world.report(hours=2)
    since = dict(world.airflow.last("GET", TASKS).query).get("end_date_gte") or next(
        dict(sent.query)["end_date_gte"] for sent in world.airflow.sent if "end_date_gte" in dict(sent.query)
    )
    assert answer["window"] == f"the last 2 h, since {since}"
    age = datetime.now(UTC) - datetime.fromisoformat(since)
    assert timedelta(hours=2) <= age < timedelta(hours=2, minutes=5)


async def test_a_bad_day_fits_the_budget_and_says_what_was_left_out() -> None:
    world = World().fails(*(failed(f"a_dag_with_a_rather_long_name_{'abcdefgh'[n]}") for n in range(8)))
    for n in range(8):
        world.log(f"a_dag_with_a_rather_long_name_{'abcdefgh'[n]}", f"Error{'ABCDEFGH'[n]}", "x" * 250)
    pools = [pool(f"pool_{n}", 1, open_slots=0, occupied_slots=1) for n in range(30)]
    answer = await world.on("/pools", page("pools", pools)).report()
    assert len(json.dumps(answer, ensure_ascii=False, separators=(",", ":"))) <= 6000
    assert answer["left_out"]["pools"] > 0
    assert answer["left_out"]["pools"] + len(answer["pools"]["near_limit"]) == 30
    assert answer["attention"][-1].startswith("30 pools full or nearly")


async def test_a_very_small_answer_keeps_what_needs_attention_and_drops_whole_sections() -> None:
    world = World().fails(failed("eu")).log("eu", "KeyError", "'x'")
    world.on("/pools", page("pools", [pool(f"pool_{n}", 1, open_slots=0) for n in range(30)]))
    whole = await world.report(max_chars=20_000)
    small = await world.report(max_chars=500)
    assert small["attention"] == whole["attention"]
    assert small["left_out"]["pools"] == "whole section"
    assert small["more"]["max_chars"] == len(json.dumps(whole, ensure_ascii=False, separators=(",", ":")))


# -- several Airflows --


@asynccontextmanager
async def one_of(**airflows: FakeAirflow) -> AsyncGenerator[Assistant]:
    """An assistant of a server with these Airflows."""
    catalog = load_catalog()
    dispatchers = {
        name: Dispatcher(
            catalog,
            parse_policy((), catalog),
            AirflowClient(airflow.url, A_TOKEN, transport=airflow.transport, backoff=0),
            load_workflows,
            ceiling=100_000,
            instance=name,
        )
        for name, airflow in airflows.items()
    }
    async with Client(AirflowServer(Instances(dispatchers), catalog.default)) as client:
        yield Assistant(client)


def down() -> FakeAirflow:
    """An Airflow that fails whatever is asked."""
    return FakeAirflow().on("GET", "/version", Reply(500, {"detail": "down"})).otherwise(Reply(500, {"detail": "down"}))


async def test_without_an_instance_every_airflow_reports_and_one_that_is_down_says_so() -> None:
    good, old = World(), World("2.11.2")
    old.fails(failed("eu")).log("eu", "KeyError", "'x'")
    async with one_of(prod=good.airflow, old=old.airflow, dead=down()) as someone:
        answer = await someone.ask("health_report")
    assert list(answer) == ["instances"]
    assert list(answer["instances"]) == ["prod", "old", "dead"]
    assert answer["instances"]["prod"]["attention"] == ["nothing"]
    assert answer["instances"]["old"]["attention"] == ["1 failed run, 1 failed task instance"]
    assert list(answer["instances"]["dead"]) == ["error"]


async def test_with_an_instance_that_airflow_alone_reports() -> None:
    good, old = World(), World("2.11.2")
    async with one_of(prod=good.airflow, old=old.airflow) as someone:
        answer = await someone.ask("health_report", instance="old")
    assert (answer["instance"], answer["attention"]) == ("old", ["nothing"])
    assert good.airflow.sent == []


async def test_the_airflows_share_the_size_of_one_answer() -> None:
    worlds = [World() for _ in range(2)]
    for world in worlds:
        world.on("/pools", page("pools", [pool(f"pool_{n}", 1, open_slots=0) for n in range(30)]))
    async with one_of(one=worlds[0].airflow, two=worlds[1].airflow) as someone:
        answer = await someone.ask("health_report")
    sizes = [len(json.dumps(part, separators=(",", ":"))) for part in answer["instances"].values()]
    assert max(sizes) <= 3000
    assert all(part["left_out"]["pools"] for part in answer["instances"].values())


async def test_when_all_are_down_that_is_the_error() -> None:
    async with one_of(one=down(), two=down()) as someone:
        assert await someone.refused("health_report")


async def test_a_wrong_argument_is_one_error_and_not_an_answer_of_each() -> None:
    async with one_of(one=World().airflow, two=World().airflow) as someone:
        assert "hours" in await someone.refused("health_report", hours=0)
