"""Why a DAG, a run or a task does not run: the one thing that keeps it comes first, with evidence and the next call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.assistant import GENERATIONS, assistant, calls_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, dag_run_v1, dag_v1, page, pool, task_instance

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
RUNS = "/dags/etl/dagRuns"
TASKS = f"{RUNS}/r/taskInstances"
EVERYWHERE = "/dags/~/dagRuns/~/taskInstances"


def back(**ago: float) -> str:
    """A time that long ago, as Airflow writes it."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def health(**dead: str | None) -> Json:
    """Every component alive, but those that are named with their status."""
    return {
        name: {"status": dead.get(name, "healthy"), f"latest_{name}_heartbeat": back(minutes=12 if name in dead else 0)}
        for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
    }


def task(task_id: str, *below: str, **fields: Any) -> Json:
    """A task of a DAG."""
    return {
        "task_id": task_id,
        "downstream_task_ids": list(below),
        "trigger_rule": "all_success",
        "retry_delay": {"__type": "TimeDelta", "days": 0, "seconds": 300, "microseconds": 0},
        "pool": "default_pool",
        "pool_slots": 1.0,
    } | fields


def one(task_id: str, state: str | None, **fields: Any) -> Json:
    """A task instance of run r."""
    return task_instance(task_id, state, **{"dag_run_id": "r", "start_date": None, "end_date": None, **fields})


class World:
    """An Airflow with the DAG etl; everything is well unless a test says otherwise."""

    def __init__(self, version: str, **fields: Any) -> None:
        self.old = version.startswith("2.")
        self.airflow = FakeAirflow(version)
        self.deny: tuple[str, ...] = ()
        self.runs(())
        self.on("/pools", page("pools", [pool("default_pool", 128)]))
        self.on("/health" if self.old else "/monitor/health", health())
        record = (dag_v1 if self.old else dag)(1, **{"dag_id": "etl", "is_paused": False, **fields})
        if self.old and "is_stale" in fields:
            record["is_active"] = not record.pop("is_stale")
        self.on("/dags/etl", record)
        self.on("/dags/etl/details", {**record, "max_active_runs": 16, "max_active_tasks": 16, **fields})

    def on(self, path: str, *replies: Any) -> World:
        self.airflow.on("GET", path, *replies)
        return self

    def runs(self, rows: Any, total: int | None = None) -> World:
        """What the DAG has, oldest first; Airflow filters by state."""
        record = dag_run_v1() if self.old else dag_run()
        made = [record | {"end_date": None} | row for row in rows]

        def answer(sent: Sent) -> Json:
            states = [value for name, value in sent.query if name == "state"]
            found = [row for row in made if not states or row["state"] in states]
            return page("dag_runs", found, total)

        for row in made:
            self.on(f"{RUNS}/{row['dag_run_id']}", row)
        return self.on(RUNS, answer)

    def running(self, *instances: Json, tasks: list[Json] | None = None, **fields: Any) -> World:
        """One running run `r` with these task instances."""
        self.runs([{"dag_run_id": "r", "state": "running", "start_date": back(minutes=30), **fields}])
        tasks = tasks or [task(name) for name in dict.fromkeys(row["task_id"] for row in instances)]
        self.on("/dags/etl/tasks", {"tasks": tasks, "total_entries": len(tasks)})

        def answer(sent: Sent) -> Json:
            states = [value for name, value in sent.query if name == "state"]
            found = [row for row in instances if not states or (row["state"] or "none") in states]
            return page("task_instances", found[: int(dict(sent.query)["limit"])], len(found))

        for row in instances:
            self.on(f"{TASKS}/{row['task_id']}", row)
            self.on(f"{TASKS}/{row['task_id']}/dependencies", {"dependencies": []})
        return self.on(TASKS, answer)

    def components(self, **dead: str | None) -> World:
        """These components are not healthy but, where it is not None, of that status."""
        return self.on("/health" if self.old else "/monitor/health", health(**dead))

    def unknown(self) -> World:
        """There is no DAG etl."""
        for path in ("/dags/etl", "/dags/etl/details", RUNS):
            self.on(path, Reply(404, {"detail": "no", "title": "no"}))
        return self.on("/dags", page("dags", [dag_v1(3) if self.old else dag(3)]))

    async def why(self, **arguments: Any) -> Json:
        self.airflow.sent.clear()
        async with assistant(self.airflow, deny=self.deny) as someone:
            answer = await someone.ask("why_not_running", dag_id="etl", **arguments)
        assert {sent.method for sent in self.airflow.sent} == {"GET"}
        assert len(self.airflow.sent) <= 8, self.airflow.lines()
        return answer

    async def refused(self, **arguments: Any) -> str:
        async with assistant(self.airflow) as someone:
            return await someone.refused("why_not_running", **{"dag_id": "etl", **arguments})

    def asked(self, path: str, **query: str) -> bool:
        """Whether this was asked for, with at least these query values."""
        return any(sent.path == path and set(query.items()) <= set(sent.query) for sent in self.airflow.sent)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_paused_dag_with_queued_runs_is_said_to_be_paused(version: str) -> None:
    world = World(version, is_paused=True)
    world.runs([{"dag_run_id": "r1", "state": "queued"}, {"dag_run_id": "r2", "state": "queued"}])
    answer = await world.why()
    assert answer["verdict"] == "blocked"
    assert answer["cause"] == "The DAG is paused, and 2 queued runs wait because of it."
    assert calls_of(answer)[0] == ("unpause_dag", {"dag_id": "etl"})
    assert answer["dag_run_id"] == "r1"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dead_scheduler_comes_before_everything(version: str) -> None:
    world = World(version, is_paused=True)
    world.on("/health" if world.old else "/monitor/health", health(scheduler="unhealthy"))
    answer = await world.why()
    assert answer["cause"] == "The scheduler is not alive, so no run and no task starts."
    assert "last heartbeat 12 min ago" in answer["evidence"]
    assert "The DAG is paused." in [finding["what"] for finding in answer["also"]]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_max_active_runs_names_the_runs_that_occupy_it(version: str) -> None:
    world = World(version, max_active_runs=1)
    start = back(hours=3)
    world.runs([{"dag_run_id": "r1", "state": "running", "start_date": start}, {"dag_run_id": "r2", "state": "queued"}])
    answer = await world.why()
    assert answer["verdict"] == "blocked"
    assert answer["cause"] == "max_active_runs is reached: 1 of 1 is running, and 1 run waits behind."
    assert answer["evidence"] == "Running: r1 since 3 h ago."
    assert calls_of(answer)[0] == ("why_not_running", {"dag_id": "etl", "dag_run_id": "r1"})


@pytest.mark.parametrize("version", GENERATIONS)
async def test_of_several_running_runs_the_others_are_named_with_the_call_to_make(version: str) -> None:
    world = World(version).running(one("load", "running", start_date=back(minutes=20)))
    started = {"state": "running", "start_date": back(minutes=30)}
    world.runs([{"dag_run_id": name, **started} for name in ("r", "s", "t")])
    answer = await world.why()
    assert (answer["dag_run_id"], answer["verdict"]) == ("r", "running")
    (other,) = answer["also"]
    assert other["what"] == "2 more runs of the DAG are active and were not looked at: s, t."
    assert calls_of(other) == [("why_not_running", {"dag_id": "etl", "dag_run_id": "t"})]
    assert "also" not in await world.why(dag_run_id="r")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_full_pool_names_who_takes_it(version: str) -> None:
    world = World(version).running(one("load", "scheduled", pool="small"))
    world.on("/pools", page("pools", [pool("small", 1, open_slots=0, occupied_slots=1)]))
    taker = task_instance("slow", "running", dag_id="other", dag_run_id="o1", start_date=back(hours=5))
    world.on(EVERYWHERE, page("task_instances", [taker]))
    answer = await world.why()
    assert answer["cause"] == "Pool 'small' is full: 1 of 1 slot taken, so load waits."
    taken = "Taken by other / o1 / slow (running since 5 h ago)."
    assert answer["evidence"] == f"{taken} It is described as 'for small things'."
    assert calls_of(answer)[0] == ("update_pool", {"pool_name": "small", "slots": 2})


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_pool_that_does_not_exist(version: str) -> None:
    answer = await World(version).running(one("load", "scheduled", pool="nowhere")).why()
    assert answer["cause"] == "The pool 'nowhere' does not exist, so load is never queued."
    assert calls_of(answer)[0] == ("create_pool", {"pool_name": "nowhere", "slots": 1})


# -- the DAG and its file --

TRACE = "Traceback (most recent call last):\n  File \"etl.py\", line 3\nModuleNotFoundError: No module named 'acme'\n"


def broken(filename: str, **fields: Any) -> Json:
    return {"import_error_id": 4, "filename": filename, "timestamp": back(), "stack_trace": TRACE, **fields}


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("filename", ["jobs/etl.py", "jobs/my_etl_dags.py"])
async def test_an_unknown_dag_whose_file_does_not_import(version: str, filename: str) -> None:
    error = broken(filename, stack_trace=TRACE if filename == "jobs/etl.py" else TRACE.replace("acme", "etl"))
    answer = await World(version).unknown().on("/importErrors", page("import_errors", [error])).why()
    assert answer["cause"] == f"There is no such DAG, but the file {filename}, which may define it, does not import."
    assert answer["evidence"].startswith("ModuleNotFoundError: No module named ")
    assert calls_of(answer)[0] == ("get_import_error", {"import_error_id": 4})


@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_unknown_dag_that_nothing_explains_is_not_found(version: str) -> None:
    world = World(version).unknown().on("/importErrors", page("import_errors", [broken("weather.py")]))
    assert (await world.refused()).startswith("There is no DAG 'etl'.")


@pytest.mark.parametrize(("version", "reader"), [("2.11.2", "scheduler"), ("3.3.2", "dag_processor")])
async def test_an_unknown_dag_while_nobody_reads_files(version: str, reader: str) -> None:
    world = World(version).unknown().on("/importErrors", page("import_errors", []))
    answer = await world.components(**{reader: "unhealthy"}).why()
    assert answer["cause"].startswith(f"There is no DAG 'etl' yet, and {reader.replace('_', ' ')} unhealthy")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_stale_dag_whose_file_does_not_import_has_one_cause(version: str) -> None:
    world = World(version, is_stale=True, has_import_errors=True)
    error = broken("/opt/airflow/dags/finance.py" if world.old else "finance.py")
    fields = {"fileloc": "/opt/airflow/dags/finance.py", "relative_fileloc": "finance.py"}
    world = World(version, is_stale=True, has_import_errors=True, **fields)
    answer = (
        await world.runs([{"dag_run_id": "r1", "state": "queued"}])
        .on("/importErrors", page("import_errors", [broken("other.py"), error]))
        .why()
    )
    assert answer["verdict"] == "blocked"
    assert "does not import, so Airflow has dropped the DAG (stale): none of its runs goes on." in answer["cause"]
    assert answer["evidence"] == "ModuleNotFoundError: No module named 'acme'"
    assert "also" not in answer


async def test_a_broken_file_holds_new_runs_back_and_not_the_one_asked_about() -> None:
    world = World("3.3.2", has_import_errors=True, relative_fileloc="etl.py")
    world.on("/importErrors", page("import_errors", [broken("etl.py")]))
    answer = await world.why()
    assert answer["cause"] == "The DAG's file etl.py does not import, so it gets no new scheduled run."
    world.running(one("load", "running", start_date=back(minutes=3)))
    answer = await world.why(dag_run_id="r")
    assert answer["verdict"] == "running"
    assert answer["also"][0]["what"].startswith("The DAG's file etl.py does not import")


async def test_import_errors_that_may_not_be_read_are_said_not_to_be_seen() -> None:
    world = World("3.3.2", has_import_errors=True).on("/importErrors", Reply(403, {"detail": "Forbidden"}))
    answer = await world.why()
    assert answer["evidence"] == "has_import_errors is true; which error it is could not be read."
    assert answer["not_seen"][0].startswith("import errors: Airflow refuses list_import_errors")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dag_that_is_gone_from_its_file_is_stale(version: str) -> None:
    world = World(version, is_stale=True).on("/importErrors", page("import_errors", []))
    assert (await world.why())["cause"].startswith("The DAG is stale: Airflow no longer finds it in its file")


async def test_what_cannot_be_read_of_the_dag_itself_is_the_error() -> None:
    world = World("3.3.2").on("/dags/etl/details", Reply(403, {"detail": "Forbidden"}))
    assert "Airflow refuses get_dag_details" in await world.refused()


async def test_health_that_cannot_be_read_is_said() -> None:
    world = World("3.3.2", is_paused=True).on("/monitor/health", Reply(500, {"detail": "down"}))
    answer = await world.why()
    assert answer["cause"] == "The DAG is paused."
    assert answer["not_seen"][0].startswith("health: ")


async def test_every_dag_at_once_is_for_another_tool() -> None:
    assert "health_report" in await World("3.3.2").refused(dag_id="~")


# -- the schedule --


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dag_without_a_schedule_only_runs_when_triggered(version: str) -> None:
    never = {"timetable_summary": None, "timetable_description": "Never, external triggers only"}
    none = {"next_dagrun_run_after": None, "next_dagrun_logical_date": None, "next_dagrun_create_after": None}
    answer = await World(version, **never, **none, schedule_interval=None).why()
    assert (answer["verdict"], answer["cause"]) == (
        "waiting",
        "The DAG has no schedule: it only runs when it is triggered.",
    )
    assert calls_of(answer) == [("trigger_dag_run", {"dag_id": "etl"})]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_next_run_and_a_start_date_in_the_future_are_told(version: str) -> None:
    due = back(hours=-5)
    name = "next_dagrun_create_after" if version.startswith("2.") else "next_dagrun_run_after"
    world = World(version, **{name: due, "start_date": back(hours=-5)}).runs([{"dag_run_id": "a", "state": "failed"}])
    answer = await world.why()
    assert answer["verdict"] == "waiting"
    assert answer["cause"].startswith("Its next run is due in 5 h, at ")
    assert "is in the future" in answer["cause"]
    assert answer["evidence"].endswith("Its latest run a is failed.")


async def test_a_run_that_is_long_due_is_for_the_schedulers_log_unless_something_explains_it() -> None:
    answer = await World("3.3.2", next_dagrun_run_after=back(hours=3)).why()
    assert answer["cause"] == "A run has been due for 3 h and does not exist."
    answer = await World("3.3.2", next_dagrun_run_after=back(hours=3), is_paused=True).why()
    assert answer["cause"] == "The DAG is paused."
    assert "it is created once the cause is mended" in answer["also"][0]["what"]


async def test_a_dag_past_its_end_date_gets_no_more_runs() -> None:
    answer = await World("3.3.2", next_dagrun_run_after=None, end_date=back(days=2)).why()
    assert answer["verdict"] == "finished"
    assert "is over: it gets no more scheduled runs" in answer["cause"]


def assets(world: World, *producers: str) -> World:
    """etl waits for clicks, which came, and views, which those DAGs produce and which did not."""
    rows = [
        {
            "id": number,
            "uri": f"s3://lake/{name}",
            "producing_tasks": [{"dag_id": dag_id, "task_id": "t"} for dag_id in made],
        }
        | {"consuming_dags" if world.old else "scheduled_dags": [{"dag_id": "etl"}]}
        for number, (name, made) in enumerate((("clicks", ("feed",)), ("views", producers)), start=1)
    ]
    rows.append({"id": 9, "uri": "s3://lake/mine", "producing_tasks": [{"dag_id": "etl"}], "scheduled_dags": []})
    came = {
        "dag_id": "etl",
        "created_at": back(minutes=4),
        **({"uri": "s3://lake/clicks"} if world.old else {"asset_id": 1}),
    }
    world.on("/datasets" if world.old else "/assets", page("datasets" if world.old else "assets", rows))
    path = "/dags/etl/datasets/queuedEvent" if world.old else "/dags/etl/assets/queuedEvents"
    return world.on(path, page("queued_events", [came]))


def asset_fields(version: str) -> Json:
    if version.startswith("2."):
        return {"schedule_interval": {"value": "Dataset"}, "next_dagrun": None, "next_dagrun_create_after": None}
    return {"timetable_summary": "Asset", "next_dagrun_run_after": None}


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dag_that_waits_for_assets_says_which_came_and_who_makes_the_others(version: str) -> None:
    answer = await assets(World(version, **asset_fields(version)), "web").why()
    assert answer["verdict"] == "waiting"
    assert answer["cause"] == "The DAG waits for 1 of 2 assets: s3://lake/views."
    assert answer["evidence"] == "came: s3://lake/clicks 4 min ago; not yet: s3://lake/views (produced by web)"
    assert calls_of(answer)[0] == ("why_not_running", {"dag_id": "web"})


@pytest.mark.parametrize("version", GENERATIONS)
async def test_no_event_at_all_is_no_error(version: str) -> None:
    world = assets(World(version, **asset_fields(version)))
    path = "/dags/etl/datasets/queuedEvent" if world.old else "/dags/etl/assets/queuedEvents"
    said = "Queue event not found"
    old = {"type": "about:blank", "title": said, "status": 404, "detail": None}
    world.on(path, Reply(404, old if world.old else {"detail": said}))
    answer = await world.why()
    assert answer["cause"] == "The DAG waits for 2 of 2 assets: s3://lake/clicks, s3://lake/views."
    assert "no DAG here produces it" in answer["evidence"]
    assert "not_seen" not in answer


async def test_airflow_2_8_does_not_tell_which_assets_came_and_that_is_said() -> None:
    answer = await assets(World("2.8.4", **asset_fields("2.8.4"))).why()
    assert answer["cause"].startswith("The DAG waits for 2 of 2 assets")
    assert answer["not_seen"][0].startswith("asset events: list_queued_asset_events needs Airflow 2.9")


async def test_a_producer_that_policy_hides_is_not_named() -> None:
    world = assets(World("3.3.2", **asset_fields("3.3.2")), "payroll")
    world.deny = ("payroll",)
    answer = await world.why()
    assert "policy hides the DAG that produces it" in answer["evidence"]
    assert "payroll" not in str(answer)


# -- a queued run --


async def test_a_run_that_is_not_due_yet_waits() -> None:
    world = World("3.3.2").runs([{"dag_run_id": "r1", "state": "queued", "run_after": back(hours=-2)}])
    answer = await world.why()
    assert answer["verdict"] == "waiting"
    assert answer["cause"].startswith("The run may not start before ")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_run_queued_for_long_that_nothing_keeps_is_unclear(version: str) -> None:
    dates = {"queued_at": back(hours=2), "logical_date": back(hours=2), "execution_date": back(hours=2)}
    answer = await World(version).runs([{"dag_run_id": "r1", "state": "queued", **dates}]).why()
    assert answer["verdict"] == "unclear"
    assert answer["evidence"] == "Queued since 2 h ago."
    assert "scheduler healthy" in answer["checked"]


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"is_paused": True, "max_active_runs": 5}, "The run belongs to backfill 7, which is paused."),
        (
            {"is_paused": False, "max_active_runs": 1},
            "max_active_runs of the backfill is reached: 1 of 1 is running, and 1 run waits behind.",
        ),
    ],
)
async def test_a_run_of_a_backfill_has_limits_of_its_own(fields: Json, cause: str) -> None:
    world = World("3.3.2", max_active_runs=1)
    kind = {"run_type": "backfill", "start_date": back(hours=1)}
    world.runs([{"dag_run_id": "b1", "state": "running", **kind}, {"dag_run_id": "b2", "state": "queued", **kind}])
    over = {"id": 6, "completed_at": back(days=9), "is_paused": True}
    current = {"id": 7, "dag_id": "etl", "from_date": "a", "to_date": "b", "completed_at": None, **fields}
    answer = await world.on("/backfills", page("backfills", [over, current])).why()
    assert answer["cause"] == cause


async def test_runs_of_a_backfill_do_not_take_the_limit_of_others() -> None:
    world = World("3.3.2", max_active_runs=1)
    world.runs(
        [
            {"dag_run_id": "b1", "state": "running", "run_type": "backfill", "start_date": back(hours=1)},
            {"dag_run_id": "m1", "state": "queued"},
        ]
    )
    assert "max_active_runs" not in (await world.why())["cause"]


async def test_runs_that_wait_behind_a_limit_are_those_of_its_own_kind() -> None:
    world = World("3.3.2", max_active_runs=1)
    kinds = ("manual", "backfill", "scheduled", "backfill", "backfill")
    queued = [{"dag_run_id": f"q{number}", "state": "queued", "run_type": kind} for number, kind in enumerate(kinds)]
    running = {"dag_run_id": "m", "state": "running", "run_type": "manual", "start_date": back(hours=1)}
    world.runs([running, *queued])
    assert (await world.why())["cause"] == "max_active_runs is reached: 1 of 1 is running, and 2 runs wait behind."


async def test_runs_beyond_the_first_page_are_counted_by_their_kind_too() -> None:
    world = World("3.3.2", max_active_runs=1)
    running = dag_run("m", "running", run_type="manual", start_date=back(hours=1))
    rows = [running, *(dag_run(f"q{n}", "queued", run_type="backfill" if n % 2 else "manual") for n in range(150))]

    def paged(sent: Sent) -> Json:
        asked = dict(sent.query)
        first = int(asked.get("offset", "0"))
        return page("dag_runs", rows[first : first + int(asked.get("limit", "100"))], len(rows))

    world.on(RUNS, paged)
    assert (await world.why())["cause"] == "max_active_runs is reached: 1 of 1 is running, and 75 runs wait behind."


async def test_a_backfill_that_is_paused_is_unpaused_by_its_tool() -> None:
    world = World("3.3.2", max_active_runs=1)
    world.runs([{"dag_run_id": "b1", "state": "queued", "run_type": "backfill"}])
    paused = {"id": 7, "dag_id": "etl", "from_date": "a", "to_date": "b", "completed_at": None, "is_paused": True}
    answer = await world.on("/backfills", page("backfills", [paused])).why()
    assert calls_of(answer) == [("unpause_backfill", {"backfill_id": 7})]


# -- limits that hold scheduled tasks --


async def test_max_active_tasks_is_for_each_run_on_3_and_for_the_dag_on_2() -> None:
    rows = [one("a", "running", start_date=back(minutes=9)), one("b", "queued"), one("c", "scheduled")]
    answer = await World("3.3.2", max_active_tasks=2).running(*rows).why()
    assert answer["cause"] == "max_active_tasks is reached: 2 of 2 task instances of this run are running or queued."
    assert answer["evidence"] == "c waits for one of them to end."
    for version in ("2.9.3", "2.11.2"):
        world = World(version, max_active_tasks=20).running(*rows)
        world.on("/dags/etl/dagRuns/~/taskInstances", page("task_instances", [one("z", "running")], 20))
        reached = "The maximum number of running tasks (20) for this task's DAG 'etl' has been reached."
        reason = {"name": "Task Instance Slots Available", "reason": reached}
        world.on(f"{TASKS}/c/dependencies", {"dependencies": [reason]})
        await over_all_runs(world)


async def over_all_runs(world: World) -> None:
    """2.10 and later say themselves that the limit is reached; before, task instances are counted."""
    answer = await world.why()
    assert answer["cause"].startswith(
        "max_active_tasks is reached: 20 of 20 task instances of the DAG, over all its runs"
    )


async def test_a_task_that_needs_more_slots_than_its_pool_has_never_runs() -> None:
    world = World("3.3.2").running(one("load", "scheduled", pool="small", pool_slots=4))
    answer = await world.on("/pools", page("pools", [pool("small", 3)])).why()
    assert answer["cause"] == "load needs 4 slots of pool 'small', which has only 3."
    assert calls_of(answer)[0] == ("update_pool", {"pool_name": "small", "slots": 4})


async def test_a_pool_beyond_the_first_page_is_looked_up_by_its_name() -> None:
    world = World("3.3.2").running(one("load", "scheduled", pool="far"))
    world.on("/pools", page("pools", [pool("default_pool", 128)], 130)).on("/pools/far", pool("far", 3))
    world.on(EVERYWHERE, page("task_instances", []))
    assert "does not exist" not in (await world.why())["cause"]
    assert world.asked("/pools/far")


async def test_an_unlimited_pool_is_never_full() -> None:
    world = World("3.3.2").running(one("load", "scheduled"))
    world.on("/pools", page("pools", [pool("default_pool", -1, open_slots=-1)])).on(
        EVERYWHERE, page("task_instances", [])
    )
    assert "is full" not in (await world.why())["cause"]


async def test_takers_of_a_pool_that_policy_hides_are_not_named_and_that_is_said() -> None:
    world = World("3.3.2").running(one("load", "scheduled", pool="small"))
    world.on("/pools", page("pools", [pool("small", 1, open_slots=0, occupied_slots=1)]))
    world.on(EVERYWHERE, page("task_instances", [task_instance("pay", "running", dag_id="payroll")]))
    world.deny = ("payroll",)
    answer = await world.why()
    assert answer["cause"].startswith("Pool 'small' is full")
    assert "payroll" not in str(answer)
    assert answer["not_seen"] == ["rows: policy hides some from you, so what takes a limit may be among them."]


PARALLELISM = "/config/section/core/option/parallelism"
EXECUTOR = "/config/section/core/option/executor"


def setting(key: str, value: str) -> Json:
    """One setting of the section core, as both generations answer it."""
    return {"sections": [{"name": "core", "options": [{"key": key, "value": value}]}]}


def crowded(version: str, running: int, queued: int) -> World:
    """A scheduled task beside that many that the scheduler has handed out."""
    world = World(version).running(one("load", "scheduled"), last_scheduling_decision=back(seconds=2))
    world.on("/dags/etl/dagRuns/~/taskInstances", page("task_instances", []))
    return world.on("/pools", page("pools", [pool("default_pool", 128, running_slots=running, queued_slots=queued)]))


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_full_executor_is_told_by_the_parallelism_that_is_configured(version: str) -> None:
    answer = await crowded(version, 3, 1).on(PARALLELISM, setting("parallelism", "4")).why()
    assert (answer["verdict"], answer["cause"]) == ("blocked", "The executor may be full, so load stays scheduled.")
    assert answer["evidence"] == (
        "4 task slots of all DAGs are running or queued; [core] parallelism is 4 for each scheduler."
    )


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("parallelism", ["64", "0"])
async def test_an_executor_with_room_is_not_said_to_be_full(version: str, parallelism: str) -> None:
    answer = await crowded(version, 40, 1).on(PARALLELISM, setting("parallelism", parallelism)).why()
    assert answer["cause"].startswith("Nothing seen here keeps load from being queued")
    assert "parallelism" not in str(answer)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_parallelism_that_may_not_be_read_is_not_guessed(version: str) -> None:
    answer = await crowded(version, 40, 1).on(PARALLELISM, Reply(403, {"detail": "Forbidden"})).why()
    assert (answer["verdict"], answer["cause"]) == ("unclear", "The executor may be full, so load stays scheduled.")
    assert answer["evidence"].startswith("41 task slots of all DAGs are running or queued; how many")
    assert "32" not in str(answer)
    assert answer["not_seen"][0].startswith("parallelism: ")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_full_pool_says_who_changed_it_last(version: str) -> None:
    world = World(version).running(one("load", "scheduled", pool="small"), one("send", "scheduled", pool="other"))
    full = {"open_slots": 0, "occupied_slots": 1}
    world.on("/pools", page("pools", [pool("small", 1, **full), pool("other", 1, description="", **full)]))
    taker = task_instance("slow", "running", dag_id="a", dag_run_id="o1", start_date=back(hours=5), pool="small")
    world.on(EVERYWHERE, page("task_instances", [taker]))
    event = "api.patch_pool" if world.old else "patch_pool"
    change = {"event_log_id": 7, "event": event, "when": back(hours=3), "owner": "bo", "dag_id": None}
    rows = [
        change | {"extra": '{"pool_name": "small_one", "slots": 9, "method": "PATCH"}'},
        change | {"extra": '{"pool_name": "small", "slots": 1, "method": "PATCH"}', "owner": "ann"},
    ]
    answer = await world.on("/eventLogs", page("event_logs", rows)).why()
    assert "It is described as 'for small things'. Last changed by ann 3 h ago (" in answer["evidence"]
    assert "slots: 1" in answer["evidence"]
    other = next(finding for finding in answer["also"] if "'other'" in finding["what"])
    assert other["evidence"].endswith("The event log shows no change of it in the last 30 days.")
    assert len([sent for sent in world.airflow.sent if sent.path == "/eventLogs"]) == 1
    (asked,) = [dict(sent.query) for sent in world.airflow.sent if sent.path == "/eventLogs"]
    assert {"after", "limit"} <= asked.keys()


async def test_the_event_log_is_not_read_where_no_pool_is_the_cause() -> None:
    world = crowded("3.3.2", 3, 1)
    await world.why()
    assert not world.asked("/eventLogs")


# -- a scheduler that runs tasks itself --


def silent(executor: Any, *running: Json, version: str = "2.11.2") -> World:
    """A queued run, and a scheduler that last reported 12 minutes ago; what runs started since."""
    world = World(version).runs([{"dag_run_id": "r1", "state": "queued"}]).components(scheduler="unhealthy")
    return world.on(EVERYWHERE, page("task_instances", [*running])).on(EXECUTOR, executor)


SLOW = {"dag_id": "other", "dag_run_id": "o1"}


async def test_a_sequential_executor_that_works_is_not_dead() -> None:
    slow = task_instance("slow", "running", **SLOW, start_date=back(minutes=11))
    world = silent(setting("executor", "SequentialExecutor"), slow)
    answer = await world.why()
    assert answer["verdict"] == "waiting"
    assert answer["cause"] == "Airflow runs one task at a time, and now other / o1 / slow, since 11 min ago."
    assert "not alive" not in str(answer)
    (asked,) = [dict(sent.query) for sent in world.airflow.sent if sent.path == EVERYWHERE]
    assert "start_date_gte" in asked


async def test_a_scheduler_whose_executor_may_not_be_read_most_likely_runs_the_task_that_started_since() -> None:
    slow = task_instance("slow", "running", **SLOW, start_date=back(minutes=11))
    answer = await silent(Reply(403, {"detail": "Forbidden"}), slow).why()
    assert answer["cause"].startswith("Airflow most likely runs one task at a time, and now other / o1 / slow")
    assert "[core] executor" in answer["hint"]
    assert "not alive" not in str(answer)


@pytest.mark.parametrize(
    ("version", "executor", "running"),
    [
        ("2.11.2", "SequentialExecutor", 0),
        ("2.11.2", "SequentialExecutor", 2),
        ("2.11.2", "CeleryExecutor", 1),
        ("3.3.2", "LocalExecutor", 1),
    ],
)
async def test_a_silent_scheduler_is_dead_where_nothing_shows_that_it_works(
    version: str, executor: str, running: int
) -> None:
    rows = [task_instance(f"t{number}", "running", **SLOW) for number in range(running)]
    answer = await silent(setting("executor", executor), *rows, version=version).why()
    assert answer["cause"] == "The scheduler is not alive, so no run and no task starts."


@pytest.mark.parametrize(("seconds", "verdict"), [(2, "waiting"), (900, "unclear")])
async def test_a_scheduled_task_that_nothing_holds_is_the_schedulers_to_queue(seconds: int, verdict: str) -> None:
    world = World("3.3.2").running(one("load", "scheduled"), last_scheduling_decision=back(seconds=seconds))
    answer = await world.on(EVERYWHERE, page("task_instances", [])).why()
    assert answer["verdict"] == verdict
    assert answer["cause"].startswith("Nothing seen here keeps load from being queued")


# -- what tasks wait for --


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_airflow_says_itself_is_told_without_what_is_beside_the_point(version: str) -> None:
    world = World(version).running(one("load", None))
    told = [
        {"name": "Task Concurrency", "reason": "The max task concurrency has been reached."},
        {"name": "Task Instance State", "reason": "Task is in the 'None' state."},
    ]
    answer = await world.on(f"{TASKS}/load/dependencies", {"dependencies": told}).why()
    assert answer["verdict"] == "blocked"
    assert answer["cause"] == "Airflow does not queue load: The max task concurrency has been reached."
    assert "'None' state" not in str(answer)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_task_that_depends_on_its_past_names_the_run_before(version: str) -> None:
    world = World(version).running(one("load", None))
    past = {"name": "Previous Dagrun State", "reason": "depends_on_past is true for this task"}
    world.on(f"{TASKS}/load/dependencies", {"dependencies": [past]})
    record = dag_run_v1("may", "failed") if world.old else dag_run("may", "failed")
    now = dag_run_v1("r", "running") if world.old else dag_run("r", "running")
    world.on(RUNS, page("dag_runs", [now]), page("dag_runs", [now, record]))
    world.on(f"{RUNS}/may/taskInstances/load", task_instance("load", "failed", dag_run_id="may"))
    answer = await world.why()
    assert answer["cause"] == "load depends on its own past (depends_on_past), and in the run before it is failed."
    assert answer["evidence"] == "Run may is failed."
    ids = {"dag_id": "etl", "dag_run_id": "may"}
    assert calls_of(answer) == [("diagnose_dag_run", ids), ("clear_task_instances", ids | {"task_ids": ["load"]})]


async def test_airflow_2_9_has_no_reasons_of_its_own_and_that_is_said() -> None:
    answer = await World("2.9.3").running(one("load", None)).why()
    assert answer["not_seen"][0].startswith("task dependencies: list_task_dependencies needs Airflow 2.10")
    assert answer["cause"].startswith("Nothing seen here keeps load from being queued")


CHAIN = [task("extract", "load"), task("load", "publish"), task("publish"), task("other")]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_task_waits_for_what_its_chain_waits_for_and_not_for_another_branch(version: str) -> None:
    rows = [
        one("extract", "up_for_retry", end_date=back(minutes=1), max_tries=3),
        one("load", None),
        one("publish", None),
        one("other", "running", start_date=back(minutes=9)),
    ]
    answer = await World(version).running(*rows, tasks=CHAIN).why(dag_run_id="r", task_id="publish")
    assert answer["verdict"] == "waiting"
    assert answer["cause"].startswith("extract is tried again in 4 min")
    assert "other" not in str(answer["cause"]) + str(answer.get("also"))


@pytest.mark.parametrize(
    ("minutes", "verdict", "cause"),
    [
        (1, "waiting", "load is tried again in 4 min, at "),
        (60, "unclear", "load was due to be tried again 55 min ago, at "),
    ],
)
async def test_a_retry_says_when(minutes: int, verdict: str, cause: str) -> None:
    row = one("load", "up_for_retry", max_tries=3, end_date=back(minutes=minutes))
    answer = await World("3.3.2").running(row).why()
    assert answer["verdict"] == verdict
    assert answer["cause"].startswith(cause)
    assert answer["evidence"].startswith("up_for_retry after try 1 of 4, ended ")
    assert calls_of(answer)[0] == ("read_task_log", {"dag_id": "etl", "dag_run_id": "r", "task_id": "load"})


async def test_a_growing_retry_delay_is_a_lower_bound() -> None:
    tasks = [task("load", retry_exponential_backoff=True)]
    world = World("3.3.2").running(one("load", "up_for_retry", end_date=back(minutes=1)), tasks=tasks)
    assert "at the earliest in 4 min" in (await world.why())["cause"]


def deferred(**trigger: Any) -> Json:
    made = {"classpath": "acme.FileTrigger", "created_date": back(minutes=8), "triggerer_id": 1, **trigger}
    return one("load", "deferred", trigger=made)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_deferred_task_waits_for_its_trigger(version: str) -> None:
    answer = await World(version).running(deferred()).why()
    assert answer["verdict"] == "waiting"
    assert answer["evidence"] == "Deferred on acme.FileTrigger since 8 min ago."


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("status", ["unhealthy", None])
async def test_a_deferred_task_does_not_resume_without_a_triggerer(version: str, status: str | None) -> None:
    answer = await World(version).running(deferred()).components(triggerer=status).why()
    assert answer["verdict"] == "blocked"
    assert answer["cause"].startswith("load is deferred and cannot resume: ")


async def test_a_trigger_that_no_triggerer_takes_up_is_told() -> None:
    answer = await World("3.3.2").running(deferred(triggerer_id=None)).why()
    assert answer["cause"] == "No triggerer has taken up the trigger of load for 8 min."


async def test_a_dead_triggerer_is_a_side_note_where_nothing_is_deferred() -> None:
    world = World("3.3.2").running(one("load", "running", start_date=back(minutes=3)))
    answer = await world.components(triggerer="unhealthy").why()
    assert answer["verdict"] == "running"
    assert answer["also"][0]["what"] == "The triggerer is not alive, so deferred tasks never resume."


async def test_a_sensor_that_looks_again_later_is_told() -> None:
    row = one("wait", "up_for_reschedule", start_date=back(minutes=5), operator_name="FileSensor")
    answer = await World("3.3.2").running(row).why()
    assert answer["verdict"] == "waiting"
    assert "FileSensor" in answer["evidence"]


async def test_a_task_that_waits_for_a_person_says_so() -> None:
    answer = await World("3.3.2").running(one("approve", "awaiting_input")).why()
    assert (answer["verdict"], answer["cause"]) == ("blocked", "approve waits for the answer of a person.")


@pytest.mark.parametrize(
    ("busy", "cause"),
    [
        (0, "No worker takes load, queued for 3 h: nothing at all runs in queue 'gpu'."),
        (5, "No worker has started load, queued for 3 h."),
    ],
)
async def test_a_task_queued_for_long_is_for_the_workers(busy: int, cause: str) -> None:
    world = World("3.3.2").running(one("load", "queued", queued_when=back(hours=3), queue="gpu"))
    world.on(EVERYWHERE, lambda sent: page("task_instances", [], busy if ("queue", "gpu") in sent.query else 12))  # pyright: ignore[reportUnknownLambdaType]
    answer = await world.why()
    assert answer["cause"] == cause
    assert answer["evidence"].endswith(f"{busy} running in this queue; 12 running or queued over all DAGs.")


async def test_a_task_queued_just_now_is_about_to_start() -> None:
    world = World("3.3.2").running(one("load", "queued", queued_when=back(seconds=4)))
    answer = await world.why()
    assert (answer["verdict"], answer["cause"]) == (
        "waiting",
        "load was queued just now; a worker starts it within seconds.",
    )
    assert not world.asked(EVERYWHERE)


async def test_a_page_full_of_waiting_tasks_does_not_hide_what_they_wait_for() -> None:
    waiting = [one(f"t{number}", None) for number in range(150)]
    tasks = [task("first", *(f"t{number}" for number in range(150))), *(task(f"t{number}") for number in range(150))]
    last = one("first", "running", start_date=back(hours=2))
    answer = await World("3.3.2").running(*waiting, last, tasks=tasks).why()
    assert answer["verdict"] == "running"
    assert answer["cause"] == "1 task instance runs: first."
    assert "150 more task instances of the run are unfinished" in answer["checked"]


# -- what is over --


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_run_that_is_over_is_not_blocked_by_a_paused_dag(version: str) -> None:
    world = World(version, is_paused=True).runs([{"dag_run_id": "r", "state": "failed", "end_date": back(minutes=2)}])
    answer = await world.why(dag_run_id="r")
    assert (answer["verdict"], answer["cause"]) == ("finished", "The run is over: failed.")
    assert calls_of(answer) == [("diagnose_dag_run", {"dag_id": "etl", "dag_run_id": "r"})]
    assert answer["also"][0]["what"] == "The DAG is paused."


async def test_a_task_that_is_over_is_said_to_be_and_an_unknown_one_is_refused() -> None:
    world = World("3.3.2").running(one("load", "upstream_failed"), one("send", "running"))
    answer = await world.why(dag_run_id="r", task_id="load")
    assert (answer["verdict"], answer["cause"]) == ("finished", "The task is over: upstream_failed.")
    assert "Did you mean load?" in await world.refused(dag_run_id="r", task_id="laod")


async def test_a_run_that_does_not_exist_is_refused_with_those_that_do() -> None:
    world = World("3.3.2").runs([{"dag_run_id": "r1", "state": "success"}])
    assert "has no run 'r9'. Its latest runs: r1." in await world.refused(dag_run_id="r9")


async def test_the_cause_survives_a_small_answer() -> None:
    world = World("3.3.2", is_paused=True).runs([{"dag_run_id": f"r{n}", "state": "queued"} for n in range(9)])
    answer = await world.why(max_chars=500)
    assert answer["cause"] == "The DAG is paused, and 9 queued runs wait because of it."
    assert calls_of(answer)[0] == ("unpause_dag", {"dag_id": "etl"})
