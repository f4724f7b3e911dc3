"""A task that died without an exception is said to have: how, in a plain sentence, from the words Airflow writes.

The words are those of Airflow 2.11.2 and 3.3.2, taken from logs of theirs or from their source.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.assistant import GENERATIONS, assistant
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.logs import FORMS, INSTANCE, PATHS, airflow_with, line, printed, read, row
from tests.unit.samples import page, task_instance

pytestmark = pytest.mark.anyio
every_version = pytest.mark.parametrize("version", GENERATIONS)
HELP = "https://airflow.apache.org/docs/apache-airflow/stable/troubleshooting.html"
TERMINATED = ("AirflowTaskTerminated", "Task received SIGTERM signal")


def job(text: str, level: str = "INFO") -> str:
    """What 2.x says in local_task_job_runner.py and its like."""
    return line(text, level).replace("etl.py:20", "local_task_job_runner.py:266")


SEGFAULT = "\n******* Received SIGSEGV *******\nSIGSEGV (Segmentation Violation) signal indicates"
SENSOR = "Sensor has timed out; run duration of 61.0 seconds exceeds the specified timeout of 60.0."
KILLED_3 = row(
    f"Process terminated by signal. Likely out of memory error (OOM). For more information, see {HELP}#signal.",
    "critical",
    signal=-9,
    signal_name="SIGKILL",
)
DEATHS = [
    ("2.11.2", job(f"Task exited with return code -9. For more information, see {HELP}#LocalTaskJob-killed"), "memory"),
    (
        "2.11.2",
        job(
            "('Job 5 was killed before it finished (likely due to running out of memory)', 'For more information')",
            "ERROR",
        ),
        "memory",
    ),
    ("2.11.2", job("Task exited with return code -15"), "Killed by a signal (number 15)"),
    ("2.11.2", job("Heartbeat time limit exceeded!", "ERROR"), "heartbeat stopped"),
    ("2.11.2", job(SEGFAULT, "CRITICAL") + job("Task exited with return code 139"), "library written in C"),
    ("2.11.2", job("Task failed due to SystemExit(3)", "ERROR"), "ended itself with exit code 3"),
    ("2.11.2", job("Task exited with return code 7"), "ended itself with exit code 7"),
    ("2.11.2", job("Received SIGTERM. Terminating subprocesses", "ERROR"), "SIGTERM"),
    (
        "2.11.2",
        job("The recorded hostname a does not match this instance's hostname b", "ERROR")
        + job("Hostname of job runner does not match", "ERROR"),
        "running elsewhere",
    ),
    ("3.3.2", KILLED_3, "memory"),
    (
        "3.3.2",
        row("Process terminated by signal. For more information", "error", signal=-15, signal_name="SIGTERM"),
        "signal (SIGTERM)",
    ),
    ("3.3.2", row(SEGFAULT, "critical"), "library written in C"),
    ("3.3.2", row("Task exited", "error", exit_code=3), "ended itself with exit code 3"),
    ("3.3.2", row("Process exited abnormally", "warning", exit_code=7), "ended itself with exit code 7"),
    (
        "3.3.2",
        row(
            "Server indicated the task shouldn't be running anymore. Terminating process",
            "error",
            detail={"detail": {"reason": "not_running", "current_state": "failed"}},
        )
        + row("Task killed!", "error"),
        "no longer run (state failed)",
    ),
    ("3.3.2", row("Dag not found during start up", "error", dag_id="etl") + row("Top level", "info"), "could not be"),
]


@pytest.mark.parametrize(("version", "words", "verdict"), DEATHS)
async def test_a_task_that_died_without_an_exception_is_said_to_have(version: str, words: str, verdict: str) -> None:
    form = FORMS[version]
    log = form.say("begin") + form.handled(("KeyError", "'survived'"), text="trying again", level="warning")
    answer = await read(version, log + form.say("resizing") + words + form.say("0 downstream tasks scheduled"))
    assert verdict in answer["verdict"]
    assert "KeyError" not in answer["error"]
    assert HELP not in answer["error"]
    assert list(answer).index("verdict") < list(answer).index("error") < list(answer).index("tail")


@pytest.mark.parametrize(("version", "words", "verdict"), DEATHS)
async def test_a_task_that_prints_these_words_itself_is_not_believed(version: str, words: str, verdict: str) -> None:
    source = '"logger":"task.stdout"' if version == "3.3.2" else "logging_mixin.py:190"
    said = words.replace('"logger":"task"', source).replace("local_task_job_runner.py:266", source)
    answer = await read(version, said)
    assert verdict not in answer.get("verdict", "")


@every_version
async def test_an_error_that_was_survived_is_not_what_a_killed_task_died_of(version: str) -> None:
    form = FORMS[version]
    killed = KILLED_3 if form.structured else job("Task exited with return code -9")
    log = form.handled(("ConnectionResetError", "reset"), text="trying again") + form.say("going on") + killed
    answer = await read(version, log)
    assert "memory" in answer["verdict"]
    assert "Connection" not in answer["error"]


@every_version
async def test_a_task_that_ended_itself_is_told_with_the_last_error_it_logged(version: str) -> None:
    form = FORMS[version]
    ended = row("Task exited", "error", exit_code=3) if form.structured else job("Task exited with return code 3")
    log = form.say("no such table: orders", "error") + form.say("giving up") + ended
    answer = await read(version, log)
    assert "exit code 3" in answer["verdict"]
    assert "last error logged, line 1: no such table: orders" in answer["error"]


@every_version
async def test_behind_a_reported_exception_the_end_of_the_process_says_nothing_new(version: str) -> None:
    form = FORMS[version]
    ended = row("Process exited abnormally", "warning", exit_code=1) if form.structured else ""
    answer = await read(version, form.fail(("ValueError", "bad")) + ended + job("Task exited with return code 1"))
    assert "verdict" not in answer
    assert answer["error"].startswith("ValueError: bad")


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        (job("State of this instance has been externally set to failed. Terminating instance.", "WARNING"), "failed"),
        (job("DagRun timed out after 0:00:15.", "WARNING"), "dagrun_timeout"),
        ("", "SIGTERM"),
    ],
)
async def test_who_stopped_a_task_is_told_beside_where_it_was_then(before: str, verdict: str) -> None:
    sigterm = job("Received SIGTERM. Terminating subprocesses.", "ERROR") + job("Stacktrace: \n  File", "ERROR")
    log = before + sigterm + printed(TERMINATED) + job("Task exited with return code 143")
    answer = await read("2.11.2", line("begin") + log)
    assert verdict in answer["verdict"]
    assert answer["error"].splitlines()[0] == "AirflowTaskTerminated: Task received SIGTERM signal"
    assert "at /opt/airflow/dags/etl.py:20 in transform" in answer["error"]


@every_version
async def test_what_ran_out_of_time_is_said_to_have(version: str) -> None:
    form = FORMS[version]
    late = row("Process timed out", "error", pid=7) if form.structured else job("Process timed out, PID: 7", "ERROR")
    answer = await read(version, late + form.fail(("AirflowTaskTimeout", "Timeout, PID: 7")))
    assert answer["verdict"] == "It ran longer than its execution_timeout."
    answer = await read(version, form.fail(("AirflowSensorTimeout", SENSOR)))
    assert answer["verdict"] == "The sensor's condition did not come true within its timeout."
    assert answer["error"].startswith("AirflowSensorTimeout: Sensor has timed out")


@every_version
async def test_a_pod_that_was_lost_is_said_to_have_been(version: str) -> None:
    form = FORMS[version]
    for reason, verdict in (("OOMKilled", "memory"), ("Evicted", "evicted")):
        told = f"Pod etl-1 returned a failure.\nremote_pod: {{'state': {{'terminated': {{'reason': '{reason}'}}}}}}"
        answer = await read(version, form.fail(("AirflowException", told)))
        assert verdict in answer["verdict"]


def event(name: str, extra: str, **fields: Any) -> dict[str, Any]:
    ids = {"dag_id": "etl", "run_id": "r", "task_id": "load", "map_index": -1, "try_number": 1}
    return {"event_log_id": 5, "event": name, "extra": extra, "when": "2026-11-21T22:58:19Z", **ids, **fields}


@every_version
@pytest.mark.parametrize(
    ("name", "extra", "verdict"),
    [
        (
            "heartbeat timeout",
            "Task did not emit heartbeat within time limit (300 seconds) and will be terminated.",
            "Its heartbeat stopped",
        ),
        (
            "state mismatch",
            "Executor LocalExecutor(parallelism=8) reported that the task instance <TaskInstance: etl.load r [queued]> "
            f"finished with state failed, but the task instance's state attribute is queued. Learn more: {HELP}#x",
            "still had it queued: it never started, or could not reach Airflow's API.",
        ),
        ("stuck in queued tries exceeded", "Task was requeued more than 2 times and will be failed.", "no worker"),
    ],
)
async def test_where_the_log_is_silent_the_scheduler_is_asked_why_it_gave_the_task_up(
    version: str, name: str, extra: str, verdict: str
) -> None:
    airflow = airflow_with(version, FORMS[version].say("rendered page 212 of 900"))
    rows = [event(name, "another try", try_number=2), event(name, "mapped", map_index=4), event(name, extra)]
    airflow.on("GET", "/eventLogs", page("event_logs", rows))
    async with assistant(airflow) as someone:
        answer = await someone.ask("read_task_log", **PATHS)
    assert verdict in answer["verdict"]
    assert "https:" not in answer["verdict"]
    assert "error" not in answer
    assert answer["tail"].endswith("rendered page 212 of 900")


@every_version
@pytest.mark.parametrize("reply", [Reply(403, {"detail": "Forbidden"}), page("event_logs", [])])
async def test_who_may_not_read_the_event_log_is_told_what_the_log_alone_shows(version: str, reply: Any) -> None:
    airflow = airflow_with(version, FORMS[version].say("rendered page 212 of 900"))
    airflow.on("GET", "/eventLogs", reply).on("GET", "/dags/etl/dagRuns/r", {"dag_run_id": "r", "dag_id": "etl"})
    airflow.on("GET", "/dags", {"dags": [], "total_entries": 0})
    async with assistant(airflow) as someone:
        answer = await someone.ask("read_task_log", **PATHS)
    assert answer["verdict"].startswith("The log ends without an error: the process was killed or lost")


@every_version
async def test_an_error_behind_which_the_log_just_ends_is_not_said_to_be_the_cause(version: str) -> None:
    form = FORMS[version]
    log = form.handled(("ConnectionResetError", "reset"), text="trying again") + form.say("rendered page 212 of 900")
    answer = await read(version, log)
    assert "probably killed or lost" in answer["verdict"]
    assert "may have been survived" in answer["verdict"]
    assert answer["error"].startswith("ConnectionResetError: reset")
    airflow = airflow_with(version, log).on("GET", "/eventLogs", page("event_logs", [event("heartbeat timeout", "")]))
    async with assistant(airflow) as someone:
        assert (await someone.ask("read_task_log", **PATHS))["verdict"].startswith("Its heartbeat stopped")


@pytest.mark.parametrize("before", ["", "2026-11-21 22:58:19 | worker | "])
async def test_in_a_log_of_a_form_of_the_operators_own_a_traceback_is_found_all_the_same(before: str) -> None:
    frames = printed(("ValueError", "bad row 3")).split("\n", 1)[1]
    log = [" INFO - ::group::Log message source details\n*** Found local files:\n INFO - ::endgroup::\n"]
    log += [f"2026-11-21 22:58:19 | etl | row {number}\n" for number in range(400)]
    log += [f"{before}{text}\n" for text in frames.splitlines()]
    log += [f"2026-11-21 22:58:20 | worker | done {number}\n" for number in range(50)]
    answer = await read("2.11.2", "".join(log))
    assert answer["error"].splitlines()[0] == "ValueError: bad row 3"
    assert "verdict" not in answer
    nothing = await read("2.11.2", "".join(log[:100]))
    assert nothing["verdict"].startswith("Nothing in the log is an error that could be recognised")
    assert "error" not in nothing


@every_version
async def test_a_task_that_still_runs_has_not_died(version: str) -> None:
    answer = await read(version, FORMS[version].say("rendered page 212 of 900"), state="running")
    assert "verdict" not in answer


@every_version
async def test_a_task_that_never_started_because_of_another_names_that_one(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", INSTANCE, task_instance("load", "upstream_failed", try_number=0))
    failed = [task_instance("extract"), task_instance("extract", map_index=2), task_instance("check")]
    airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances", page("task_instances", failed))
    async with assistant(airflow) as someone:
        answer = await someone.ask("read_task_log", **PATHS)
    assert "never started (state upstream_failed)" in answer["hint"]
    assert answer["hint"].endswith("Failed in this run: extract, check.")


@every_version
@pytest.mark.parametrize(
    ("ended", "state", "meaning"),
    [
        ("failed", "queued", "it never started, or could not reach Airflow's API"),
        ("success", "queued", "it had just deferred or been rescheduled"),
        ("failed", "running", "the worker ended, or lost Airflow's API server"),
        ("failed", "success", "a race of Airflow's own"),
    ],
)
async def test_what_the_executor_reported_is_told_by_the_state_that_airflow_had(
    version: str, ended: str, state: str, meaning: str
) -> None:
    why = 'Traceback (most recent call last):\n  File "worker.py", line 3, in run\nOSError: node wk-3 is gone'
    words = (
        f"Executor CeleryExecutor(parallelism=8) reported that the task instance <TaskInstance: etl.load r [{state}]> "
        f"finished with state {ended}, but the task instance's state attribute is {state}. Learn more: {HELP}#x "
        f"Extra info: {why}"
    )
    airflow = airflow_with(version, FORMS[version].say("begin"))
    airflow.on("GET", "/eventLogs", page("event_logs", [event("state mismatch", words)]))
    async with assistant(airflow) as someone:
        verdict = (await someone.ask("read_task_log", **PATHS))["verdict"]
    assert meaning in verdict
    assert "node wk-3 is gone" in verdict
    assert "TaskInstance:" not in verdict


@every_version
async def test_a_task_that_airflow_handled_is_not_said_to_have_been_killed(version: str) -> None:
    form = FORMS[version]
    handled = (
        row("::group::Post Execute")
        if form.structured
        else line("Marking task as FAILED. dag_id=etl").replace("etl.py:20", "taskinstance.py:1226")
    )
    answer = await read(version, form.say("no such table: orders", "error") + handled)
    assert "verdict" not in answer
    assert answer["error"] == "no such table: orders"


@every_version
@pytest.mark.parametrize("text", ["setting WAREHOUSE is missing", "0 rows were loaded", "3 files are locked"])
async def test_a_text_given_to_sys_exit_is_the_reason_whatever_digits_are_in_it(version: str, text: str) -> None:
    form = FORMS[version]
    if form.structured:
        log = row("Task exited", "error", exit_code=text)
    else:
        log = job(f"Task failed due to SystemExit({text})", "ERROR") + job("Task exited with return code 1")
    answer = await read(version, form.say("begin") + log)
    assert answer["verdict"] == f"The process ended itself with the words: {text}"
