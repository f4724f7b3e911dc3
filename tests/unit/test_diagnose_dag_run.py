"""Why a run failed, in one call: all that failed, the first cause, its error, what changed, what was not looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_mcp.dispatch.answer.render import dumps
from tests.unit.assistant import GENERATIONS, assistant, calls_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.logs import FORMS
from tests.unit.samples import dag_run, dag_run_v1, page, task_instance

pytestmark = pytest.mark.anyio
every_version = pytest.mark.parametrize("version", GENERATIONS)
Json = dict[str, Any]
RUN = "/dags/etl/dagRuns/r1"
ERRORS = (("TimeoutError", "shard {n} did not answer"), ("KeyError", "'customer_id'"), ("ValueError", "checksum {n}"))


class World:
    """An Airflow with one DAG, whose run r1 has these task instances; logs are made from task and index."""

    def __init__(self, version: str, *rows: Json, downstream: dict[str, list[str]] | None = None, **run: Any) -> None:
        self.rows = list(rows)
        self.log: Callable[[str, int, int], str] = lambda task, index, number: FORMS[version].fail(("ValueError", task))
        made = dag_run if version.startswith("3") else dag_run_v1
        self.runs = [made("r1", "failed", dag_id="etl", **run)]
        tasks = [{"task_id": task, "downstream_task_ids": after} for task, after in (downstream or {}).items()]
        self.airflow = FakeAirflow(version)
        self.airflow.on("GET", RUN, self.runs[0]).on("GET", "/dags/etl/dagRuns", self._list_runs)
        self.airflow.on("GET", f"{RUN}/taskInstances", self._list).on("GET", "/dags/etl/tasks", page("tasks", tasks))
        self.airflow.on("GET", "/eventLogs", page("event_logs", [])).otherwise(self._read)
        for task in {row["task_id"] for row in rows if row["map_index"] >= 0}:
            self.airflow.on("GET", f"{RUN}/taskInstances/{task}/listMapped", self._list_mapped)

    def _list_runs(self, sent: Sent) -> Json:
        states = [value for name, value in sent.query if name == "state"]
        return page("dag_runs", [run for run in self.runs if not states or run["state"] in states])

    def _list_mapped(self, sent: Sent) -> Json:
        states = [value for name, value in sent.query if name == "state"]
        task = sent.path.split("/")[-2]
        rows = [row for row in self.rows if row["task_id"] == task and (not states or row["state"] in states)]
        return page("task_instances", rows[: int(dict(sent.query)["limit"])], len(rows))

    def _list(self, sent: Sent) -> Json:
        states = [value for name, value in sent.query if name == "state"]
        rows = [row for row in self.rows if not states or row["state"] in states]
        asked = dict(sent.query)
        start, size = int(asked.get("offset", 0)), min(int(asked["limit"]), 100)
        return page("task_instances", rows[start : start + size], len(rows))

    def _read(self, sent: Sent) -> Any:
        parts = sent.path.split("/")
        if "logs" not in parts:
            return Reply(404, {"detail": "Not found"})
        index = dict(sent.query).get("map_index", -1)
        return Reply(200, self.log(parts[parts.index("taskInstances") + 1], int(index), int(parts[-1])).encode())

    @property
    def logs_read(self) -> int:
        return sum("/logs/" in line for line in self.airflow.lines())


def instance(task: str, state: str = "failed", index: int = -1, **fields: Any) -> Json:
    return task_instance(task, state, dag_id="etl", dag_run_id="r1", try_number=1, map_index=index) | fields


@every_version
async def test_one_of_five_mapped_instances_is_named_with_its_error_in_few_requests(version: str) -> None:
    rows = [instance("load", "failed" if index == 3 else "success", index) for index in range(5)]
    world = World(
        version, *rows, instance("publish", "upstream_failed"), downstream={"load": ["publish"], "publish": []}
    )
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert answer["failed"] == "1: load[3]"
    assert answer["upstream_failed"] == "1: publish"
    (error,) = answer["errors"]
    assert (error["error"], error["tasks"]) == ("ValueError: load", "1: load[3] (4 of 5 succeeded)")
    assert error["looked_at"].startswith("log of load[3], try 1: ")
    assert error["looked_at"].endswith(" lines, 0 printed by the task")
    assert "etl.py:20 in transform" in error["log"]
    assert any(arguments.get("map_index") == 3 for _, arguments in calls_of(answer))
    assert len(world.airflow.sent) <= 8
    assert len(str(answer)) < 2_500


def command(version: str, *output: str) -> str:
    """The log of a bash command that printed this and failed."""
    form = FORMS[version]
    logger = "airflow.task.hooks.airflow.providers.standard.hooks.subprocess.SubprocessHook"
    source = logger if form.structured else "subprocess.py:106"
    said = ["Running command: ['bash', '-c', 'load']", "Output:", *output, "Command exited with return code 1"]
    wrapper = ("AirflowException", "Bash command failed. The command returned a non-zero exit code 1.")
    return "".join(form.say(text, source=source) for text in said) + form.fail(wrapper)


@every_version
async def test_mapped_commands_that_end_in_the_same_words_for_other_reasons_are_two_errors(version: str) -> None:
    world = World(version, *(instance("load", "failed", index) for index in range(4)))
    reasons = ["fatal: bucket eu is closed", "fatal: key of partner 7 is unknown"]
    world.log = lambda task, index, number: command(version, "start", reasons[index % 2], "bye")
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl", dag_run_id="r1")
    first, second = answer["errors"]
    assert first["error"].startswith("fatal: bucket eu is closed [AirflowException: Bash command failed.")
    assert second["error"].startswith("fatal: key of partner 7 is unknown [AirflowException: Bash command failed.")
    assert [error["tasks"] for error in (first, second)] == [
        "2: load[0, 2] (0 of 4 succeeded)",
        "2: load[1, 3] (0 of 4 succeeded)",
    ]
    assert "output, line 4: fatal: bucket eu is closed" in first["log"]
    assert ", 3 printed by the task" in first["looked_at"]


@every_version
async def test_members_of_one_error_are_told_with_their_names_and_in_what_they_differ(version: str) -> None:
    names = {1: "eu/west", 2: "ap", 3: "us east"}
    rows = [
        instance("load", "success" if index == 3 else "failed", index, rendered_map_index=name)
        for index, name in names.items()
    ]
    world = World(version, *rows)
    world.log = lambda task, index, number: command(version, f"fatal: partner {index} sent nothing")
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl", dag_run_id="r1")
    (error,) = answer["errors"]
    assert error["tasks"] == "2: load[1 eu/west, 2 ap] (1 of 3 succeeded)"
    assert error["differ_in"] == "partner 1, partner 2"


@every_version
async def test_one_outage_of_airflow_is_one_error(version: str) -> None:
    """The executor's words name the task instance, and so differ for each."""
    world = World(version, *(instance(task) for task in ("extract", "load", "publish")))
    world.log = lambda task, index, number: FORMS[version].say("begin")

    def event(task: str) -> Json:
        words = (
            f"Executor LocalExecutor(parallelism=8) reported that the task instance <TaskInstance: etl.{task} r1 "
            f"[running]> finished with state failed, but the task instance's state attribute is running."
        )
        named = {"event": "state mismatch", "extra": words, "dag_id": "etl", "run_id": "r1", "task_id": task}
        return named | {"map_index": -1, "try_number": 1, "event_log_id": 1}

    events = [event(task) for task in ("extract", "load", "publish")]
    world.airflow.on("GET", "/eventLogs", page("event_logs", events))
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl", dag_run_id="r1")
    (error,) = answer["errors"]
    assert "still had it running: the worker ended, or lost Airflow's API server" in error["error"]
    assert "TaskInstance" not in error["error"]
    assert error["tasks"] == "3: extract, load, publish"
    asked = [
        sent for sent in world.airflow.sent if ("event", "state mismatch") in sent.query or "included" in str(sent)
    ]
    assert len(asked) == 1  # for the whole run


@every_version
async def test_hundreds_of_failures_are_grouped_and_what_was_not_read_is_said(version: str) -> None:
    rows = [instance("load", "failed", index) for index in range(300)]
    world = World(version, *rows)

    def log(_: str, index: int, __: int) -> str:
        kind, value = ERRORS[index % 3]
        return FORMS[version].fail((kind, value.format(n=index)))

    world.log = log
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl", dag_run_id="r1")
    assert answer["failed"].startswith("300: load[0-")
    assert {error["error"].partition(":")[0] for error in answer["errors"]} == {kind for kind, _ in ERRORS}
    assert world.logs_read == 3 + 8
    assert sum(int(error["tasks"].partition(":")[0]) for error in answer["errors"]) == 11
    assert "their logs were not read" in answer["not_read"]
    assert answer["not_read"].endswith("the last 8 logs read brought no new one, so most likely (95 %) in under 32 %")
    assert len(str(answer)) < 4_000


@every_version
async def test_the_first_cause_is_the_one_that_no_other_failure_stands_before(version: str) -> None:
    rows = [instance("late", end_date="2026-11-21T22:00:00Z"), instance("early", end_date="2026-11-21T23:00:00Z")]
    world = World(version, *rows, downstream={"early": ["middle"], "middle": ["late"], "late": []})
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert [error["tasks"] for error in answer["errors"]] == ["1: early", "1: late"]


@every_version
async def test_an_earlier_try_that_failed_differently_has_a_line(version: str) -> None:
    world = World(version, instance("load", try_number=3))
    form = FORMS[version]
    world.log = lambda _, __, number: form.fail(("OSError", "first") if number == 1 else ("ValueError", "later"))
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert answer["errors"][0]["error"] == "ValueError: later"
    assert answer["earlier_tries"] == ["try 1: OSError: first"]


@every_version
async def test_what_changed_since_the_last_success_is_said(version: str) -> None:
    world = World(version, instance("load"), conf={"file": "b.csv.gz", "day": 1})
    made = dag_run if version.startswith("3") else dag_run_v1
    world.runs.append(made("r0", "success", dag_id="etl", conf={"file": "a.csv", "day": 1}))
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert answer["changed"]["last_success"].startswith("r0, ")
    assert "conf.file: a.csv -> b.csv.gz" in answer["changed"]["differences"]
    assert not any("conf.day" in change for change in answer["changed"]["differences"])


@every_version
async def test_a_run_that_failed_without_a_failed_task_is_explained(version: str) -> None:
    times: Json = {"start_date": "2026-11-21T22:00:00Z", "end_date": "2026-11-21T22:00:16Z"}
    world = World(version, instance("vacuum", "skipped"), instance("count", "success"), **times)
    limit: Any = "PT15S" if version.startswith("3") else {"__type": "TimeDelta", "days": 0, "seconds": 15}
    world.airflow.on("GET", "/dags/etl/details", {"dag_id": "etl", "dag_run_timeout": limit})
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert "1 skipped, 1 success" in answer["no_cause"]
    assert "not successful: vacuum" in answer["no_cause"]
    assert "15 seconds" in answer["no_cause"]
    assert "errors" not in answer


@every_version
async def test_what_could_not_be_seen_is_named_and_the_rest_is_answered(version: str) -> None:
    world = World(version, instance("load"))
    world.airflow.on("GET", "/dags/etl/tasks", Reply(403, {"detail": "Forbidden"}))
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert answer["errors"][0]["error"] == "ValueError: load"
    assert answer["not_seen"][0].startswith("tasks: Airflow refuses list_tasks")


@every_version
async def test_a_dag_without_a_run_is_no_dag_without_a_failure(version: str) -> None:
    world = World(version)
    world.runs.clear()
    world.airflow.on("GET", "/dags/etl", {"dag_id": "etl"})
    async with assistant(world.airflow) as someone:
        assert "has no run yet" in await someone.refused("diagnose_dag_run", dag_id="etl")
        assert "give at least one of dag_id, url" in await someone.refused("diagnose_dag_run")


@every_version
async def test_what_stands_beyond_what_was_looked_at_is_counted(version: str) -> None:
    rows = [instance("load", "failed", index) for index in range(1_200)]
    behind = [instance("publish", "upstream_failed", index) for index in range(150)]
    world = World(version, *rows, *behind)
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert answer["failed"] == "1200: load[0-299]; 900 more were not looked at"
    assert "and 900 more failed task instances: their logs were not read" in answer["not_read"]
    assert answer["upstream_failed"] == "150: publish[0-99]; 50 more were not looked at"


@every_version
async def test_very_many_errors_leave_the_first_cause_its_log_and_the_calls_to_make(version: str) -> None:
    rows = [instance(f"load_one_of_the_many_tables_{number:02}") for number in range(60)]
    world = World(version, *rows)
    kinds = {
        row["task_id"]: "Broken" + chr(65 + number // 26) + chr(97 + number % 26) for number, row in enumerate(rows)
    }
    world.log = lambda task, _, __: FORMS[version].fail((kinds[task], "said in very many words " * 20))
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    first, second, *_, last = answer["errors"]
    assert first["error"].startswith("BrokenAa: said")
    assert "etl.py:20 in transform" in first["log"]
    assert second["error"].startswith("BrokenAb: said")
    assert last["error"] == f"and {24 - len(answer['errors']) + 1} more errors"
    assert "clear_task_instances" in dict(calls_of(answer))
    assert len(dumps(answer)) <= 4_000


@every_version
async def test_a_long_conf_takes_no_room_from_the_cause(version: str) -> None:
    conf = {"day": "2026-01-01", "rows": list(range(2_000)), **{f"key_{number:03}": "x" * 60 for number in range(50)}}
    world = World(version, instance("load"), conf=conf)
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert answer["conf"]["day"] == "2026-01-01"
    assert answer["conf"]["rows"].startswith("[0,1,2,")
    assert answer["conf"]["..."].endswith("more keys")
    assert ("get_dag_run", {"dag_id": "etl", "dag_run_id": answer["dag_run_id"]}) in calls_of(answer)
    assert "etl.py:20 in transform" in answer["errors"][0]["log"]
    assert len(dumps(answer)) < 2_000


@every_version
async def test_a_run_that_ended_before_its_time_was_up_is_not_said_to_have_timed_out(version: str) -> None:
    times: Json = {"start_date": "2026-11-21T22:00:00Z", "end_date": "2026-11-21T22:00:16Z"}
    world = World(version, instance("vacuum", "skipped"), **times)
    limit: Any = "PT1H" if version.startswith("3") else {"__type": "TimeDelta", "days": 0, "seconds": 3_600}
    world.airflow.on("GET", "/dags/etl/details", {"dag_id": "etl", "dag_run_timeout": limit})
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert "It took 16 seconds, the DAG's dagrun_timeout is 3600: somebody set the state" in answer["no_cause"]


@every_version
async def test_the_task_instance_that_a_link_is_about_is_among_those_that_are_read(version: str) -> None:
    world = World(version, *[instance("load", "failed", index) for index in range(300)])
    world.log = lambda _, index, __: FORMS[version].fail(("KeyError", "rare") if index == 171 else ("OSError", "usual"))
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", url="/dags/etl/runs/r1/tasks/load/mapped/171")
    assert {error["error"]: error["tasks"] for error in answer["errors"]}[
        "KeyError: rare"
    ] == "1: load[171] (0 of 300 succeeded)"
    assert world.logs_read < 12


@every_version
async def test_a_run_under_way_is_followed_by_what_it_waits_for(version: str) -> None:
    world = World(version, instance("load", "running"))
    world.runs[0]["state"] = "running"
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl", dag_run_id="r1")
    assert answer["no_cause"] == "No task instance failed: the run is running."
    assert calls_of(answer) == [("why_not_running", {"dag_id": "etl", "dag_run_id": "r1"})]


@every_version
async def test_a_run_that_succeeded_is_told_in_a_few_words(version: str) -> None:
    world = World(version, instance("load", "success"))
    world.runs[0]["state"] = "success"
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl", dag_run_id="r1")
    assert answer["no_cause"] == "No task instance failed: the run succeeded."
    assert "events" not in answer
    assert not any("/eventLogs" in line for line in world.airflow.lines())


@every_version
async def test_a_run_that_a_list_has_shown_is_not_looked_up_for_each_list_that_is_empty(version: str) -> None:
    world = World(version, instance("vacuum", "skipped"))
    world.airflow.on("GET", "/dags/etl/details", {"dag_id": "etl", "dag_run_timeout": None})
    async with assistant(world.airflow) as someone:
        answer = await someone.ask("diagnose_dag_run", dag_id="etl")
    assert "no task instance did" in answer["no_cause"]
    assert f"GET {RUN}" not in world.airflow.lines()
    assert len(world.airflow.sent) <= 10
