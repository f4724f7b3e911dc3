"""A run is started once, with a conf that its DAG takes, and waited for; what would not work is refused unsent."""

from __future__ import annotations

import anyio
import httpx2
import pytest

from tests.permissions.support import NO_PAYROLL, connected
from tests.unit.assistant import ERAS, GENERATIONS, Assistant, Json, assistant, calls_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent, line_of_run
from tests.unit.samples import dag, dag_run, page, task_instance
from tests.unit.test_get_dag_overview import param

pytestmark = pytest.mark.anyio
ALL = ("*",)
TRIGGERS = ("trigger_dag_run", "trigger_and_wait")
PARAMS: Json = {
    "loaves": param(6, "How many.", type="integer", minimum=1, maximum=12),
    "day": param(None, "The day to bake for.", type="string", format="date"),
    "moment": param("2026-01-01T00:00:00Z", type="string", format="date-time"),
    "note": param(None, type=["null", "string"]),
    "kind": param("rye", enum=["rye", "oat"]),
    "code": param("AB", type="string", pattern="^(a+)+$"),
    "ahead": param("AB", type="string", pattern="^(?=A)"),
    "db_password": param("", type="string", minLength=12),
    "free": param(),
    "wide": {"value": 1, "schema": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
    "away": {"value": 1, "schema": {"$ref": "https://elsewhere.example/schema.json"}},
    "broken": param(1, type="no such type"),
}
GOOD: Json = {"day": "2026-11-22"}


def bakery(version: str = "3.3.2", *states: str, is_paused: bool = False, params: Json = PARAMS) -> FakeAirflow:
    """An Airflow with DAG etl that takes these params, and whose new run is in these states one after another."""
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag(dag_id="etl", is_paused=is_paused))
    airflow.on("GET", "/dags/etl/details", dag(dag_id="etl", params=params))
    made: list[str] = []

    def make(sent: Sent) -> Reply | Json:
        run_id = sent.body["dag_run_id"]
        if run_id in made:
            return Reply(409, {"detail": f"DAGRun {run_id} already exists", "title": "Conflict"})
        made.append(run_id)
        tasks = f"/dags/etl/dagRuns/{run_id}/taskInstances"
        airflow.on("GET", f"/dags/etl/dagRuns/{run_id}", *(dag_run(run_id, state) for state in states or ("success",)))
        airflow.on(
            "GET", tasks, page("task_instances", [task_instance("load", "failed"), task_instance("a", "success")])
        )
        return dag_run(run_id, "queued")

    return airflow.on("POST", "/dags/etl/dagRuns", make)


def posts(airflow: FakeAirflow) -> list[Json]:
    return [sent.body for sent in airflow.sent if sent.method == "POST"]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("state", ["success", "failed"])
async def test_the_answer_is_that_of_waiting_for_the_new_run(version: str, state: str) -> None:
    airflow = bakery(version, state)
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD, dag_run_id="mine", note="as asked")
        waited = await someone.ask("wait_for_dag_run", dag_id="etl", dag_run_id="mine")
    assert answer == waited
    assert (answer["state"], answer["finished"], answer["failed_tasks"]) == (state, True, ["load"])
    (body,) = posts(airflow)
    assert (body["conf"], body["dag_run_id"]) == (GOOD, "mine")
    assert body["note"] == "as asked (by local, through airflow-mcp)"
    assert "timeout_seconds" not in body
    run = "/dags/etl/dagRuns/mine"
    sent = [
        "GET /dags/etl",
        "GET /dags/etl/details",
        "POST /dags/etl/dagRuns",
        line_of_run(version, run),
        f"GET {run}/taskInstances",
    ]
    assert airflow.lines()[: len(sent)] == sent
    assert len(airflow.sent) == 7


@pytest.mark.parametrize("mode", ERAS)
async def test_waiting_tells_how_far_the_run_is(mode: str) -> None:
    told: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with assistant(bakery("3.3.2", "running", "success"), mode=mode, allow=ALL) as someone:
        arguments = {"dag_id": "etl", "conf": GOOD, "timeout_seconds": 20}
        result = await someone.client.call_tool("trigger_and_wait", arguments, progress_callback=progress)
    assert result.structured_content is not None
    assert result.structured_content["finished"] is True
    assert told == ["running: 1 failed, 1 success", "success: 1 failed, 1 success"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_paused_dag_is_refused_unsent_and_stays_paused(version: str) -> None:
    airflow = bakery(version, is_paused=True)
    async with assistant(airflow, allow=ALL) as someone:
        sentence = await someone.refused("trigger_and_wait", dag_id="etl", conf=GOOD)
    assert "'etl' is paused" in sentence
    assert "unpause_dag" in sentence
    assert "trigger_dag_run" in sentence
    assert {sent.method for sent in airflow.sent} == {"GET"}


WRONG: list[tuple[Json, list[str]]] = [
    ({}, ['conf.day is required: {"type":"string","format":"date","about":"The day to bake for."}']),
    (
        GOOD | {"loaves": "six"},
        ['conf.loaves: "six" does not fit {"type":"integer","default":6,"minimum":1,"max'],
    ),
    (GOOD | {"loaves": 13}, ["conf.loaves: 13 does not fit"]),
    (GOOD | {"loaves": True}, ["conf.loaves: true does not fit"]),
    (GOOD | {"loaves": None}, ["conf.loaves: null does not fit"]),
    ({"day": "tomorrow"}, ['conf.day: "tomorrow" does not fit']),
    (
        GOOD | {"kind": "wheat"},
        ['conf.kind: "wheat" does not fit', '"enum":["rye","oat"]}'],
    ),
    (GOOD | {"wide": [1]}, ["conf.wide: [1] does not fit"]),
    (GOOD | {"code": "a" * 50 + "b"}, ["conf.code: ", '"pattern":"^(a+)+$"']),  # years, if it were tried backwards
    ({"loaves": 0, "kind": 0, "note": 0, "wide": {}}, ["conf.loaves: 0", "conf.day is required", "And 2 more."]),
]
RIGHT: list[Json] = [
    GOOD,
    GOOD | {"loaves": 12, "note": None, "kind": "oat"},
    GOOD | {"note": "x", "free": {"any": ["thing"]}, "wide": "x"},
    GOOD | {"loaves": 3.0},
    GOOD | {"code": "aaa"},
    GOOD | {"away": "not to be known", "broken": [], "ahead": "x", "db_password": "twelve or more"},  # left to Airflow
]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("tool", TRIGGERS)
@pytest.mark.parametrize(("conf", "words"), WRONG)
async def test_a_conf_that_the_dag_does_not_take_is_refused_unsent(
    version: str, tool: str, conf: Json, words: list[str]
) -> None:
    airflow = bakery(version)
    async with assistant(airflow, allow=ALL) as someone:
        sentence = await someone.refused(tool, dag_id="etl", conf=conf)
    assert sentence.startswith(f"{tool}: conf.")
    for word in words:
        assert word in sentence
    assert "Nothing was sent." in sentence
    assert "get_dag_overview" in sentence
    assert airflow.lines() == ["GET /dags/etl", "GET /dags/etl/details"]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("tool", TRIGGERS)
@pytest.mark.parametrize("conf", RIGHT)
async def test_a_conf_that_fits_is_sent_as_it_is(version: str, tool: str, conf: Json) -> None:
    airflow = bakery(version)
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask(tool, dag_id="etl", conf=conf)
    assert "hint" not in answer
    assert [body["conf"] for body in posts(airflow)] == [conf]
    assert {sent.headers["host"] for sent in airflow.seen} == {"airflow.example:8080"}, "no schema is fetched"


@pytest.mark.parametrize(
    ("version", "moment", "fits"),
    [
        ("3.3.2", "2026-11-22T08:00:00+01:00", True),
        ("3.3.2", "2026-11-22T08:00:00", False),  # Airflow 3 wants RFC 3339
        ("2.11.2", "2026-11-22T08:00:00", True),  # Airflow 2 falls back to ISO 8601
    ],
)
async def test_a_moment_is_checked_as_strictly_as_that_airflow_does(version: str, moment: str, fits: bool) -> None:
    airflow = bakery(version)
    async with assistant(airflow, allow=ALL) as someone:
        result = await someone.client.call_tool("trigger_dag_run", {"dag_id": "etl", "conf": GOOD | {"moment": moment}})
    assert result.is_error is not fits
    assert len(posts(airflow)) == int(fits)


@pytest.mark.parametrize("tool", TRIGGERS)
async def test_a_key_that_is_no_param_is_sent_and_said(tool: str) -> None:
    airflow = bakery()
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask(tool, dag_id="etl", conf=GOOD | {"loavs": 3, "zz": 1})
        hint = "conf has keys that are no params of this DAG: 'loavs' (did you mean 'loaves'?), 'zz'."
        assert answer["hint"] == hint
        assert len(posts(airflow)) == 1


@pytest.mark.parametrize("tool", TRIGGERS)
async def test_a_dag_without_params_takes_any_conf(tool: str) -> None:
    async with assistant(bakery(params={}), allow=ALL) as someone:
        assert "hint" not in await someone.ask(tool, dag_id="etl", conf={"any": "thing"})
        assert "hint" not in await someone.ask(tool, dag_id="etl")


@pytest.mark.parametrize("tool", TRIGGERS)
async def test_params_that_cannot_be_read_leave_the_check_to_airflow_and_that_is_said(tool: str) -> None:
    airflow = bakery().on("GET", "/dags/etl/details", Reply(403, {"detail": "Forbidden"}))
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask(tool, dag_id="etl", conf={"loaves": "six"})
        assert answer["hint"].startswith("conf was not checked: ")
        assert "hint" not in await someone.ask(tool, dag_id="etl")


async def test_a_secret_in_a_conf_is_not_told_in_the_refusal() -> None:
    params = {"login": param(None, type="object", required=["user"])}
    async with assistant(bakery(params=params), allow=ALL) as someone:
        sentence = await someone.refused("trigger_and_wait", dag_id="etl", conf={"login": {"password": "hunter2"}})
    assert 'conf.login: {"password":"***"} does not fit' in sentence


@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_same_run_id_never_starts_a_second_run(version: str) -> None:
    airflow = bakery(version)
    async with assistant(airflow, allow=ALL) as someone:
        await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD, dag_run_id="mine")
        sentence = await someone.refused("trigger_and_wait", dag_id="etl", conf=GOOD, dag_run_id="mine")
        assert "already exists" in sentence
        assert "wait_for_dag_run" in sentence
        first = await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD)
        second = await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD)
    assert first["dag_run_id"] != second["dag_run_id"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_lost_answer_is_settled_by_reading_the_run(version: str) -> None:
    airflow = bakery(version)
    airflow.on("GET", "/dags/etl/dagRuns/mine", dag_run("mine", "running"), dag_run("mine", "success"))
    airflow.on("GET", "/dags/etl/dagRuns/mine/taskInstances", page("task_instances", []))
    airflow.on("POST", "/dags/etl/dagRuns", httpx2.ReadTimeout("no answer"))
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD, dag_run_id="mine")
    assert answer["state"] == "success"
    assert len(posts(airflow)) == 1


async def test_a_wait_that_fails_still_says_which_run_was_started() -> None:
    airflow = bakery().on("POST", "/dags/etl/dagRuns", lambda sent: dag_run(sent.body["dag_run_id"], "queued"))
    airflow.on("GET", "/dags/etl/dagRuns/mine", Reply(403, {"detail": "Forbidden"}))
    async with assistant(airflow, allow=ALL) as someone:
        answer = await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD, dag_run_id="mine")
    assert (answer["dag_run_id"], answer["state"], answer["finished"]) == ("mine", "queued", False)
    assert answer["hint"].startswith("The run was started; waiting for it failed: ")
    assert calls_of(answer) == [("wait_for_dag_run", {"dag_id": "etl", "dag_run_id": answer["dag_run_id"]})]


async def test_out_of_time_the_run_goes_on() -> None:
    async with assistant(bakery("3.3.2", "running"), allow=ALL) as someone:
        answer = await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD, timeout_seconds=1)
    assert answer["finished"] is False
    assert "the run goes on" in answer["hint"]


async def test_a_caller_who_goes_away_leaves_the_run_alone() -> None:
    waiting = anyio.Event()
    airflow = bakery("3.3.2", "running")

    async def hold(sent: Sent) -> Json:
        waiting.set()
        await anyio.sleep_forever()
        return {}

    airflow.on("POST", "/dags/etl/dagRuns", dag_run("mine", "queued")).on("GET", "/dags/etl/dagRuns/mine", hold)

    async def ask(someone: Assistant, scope: anyio.CancelScope) -> None:
        with scope:
            await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD, dag_run_id="mine")

    async with assistant(airflow, allow=ALL) as someone, anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(ask, someone, scope)
        with anyio.fail_after(60):  # only so that a failure ends
            await waiting.wait()
            scope.cancel()
    assert [sent.method for sent in airflow.sent if sent.method != "GET"] == ["POST"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_unknown_dag_is_named_with_near_ones_and_nothing_is_sent(version: str) -> None:
    airflow = bakery(version).on("GET", "/dags", page("dags", [dag(dag_id="etl")]))
    async with assistant(airflow, allow=ALL) as someone:
        assert "Did you mean etl?" in await someone.refused("trigger_and_wait", dag_id="elt", conf=GOOD)
    assert posts(airflow) == []


async def test_it_is_a_change_that_policy_must_allow() -> None:
    airflow = bakery()
    async with assistant(airflow) as someone:
        assert "write operation that no rule allows" in await someone.refused("trigger_and_wait", dag_id="etl")
    rule: Json = {"allow": [{"tools": ["trigger_dag_run"], "confirm": "plan"}], "deny": [NO_PAYROLL]}
    async with connected(airflow, rule) as someone:
        assert "denies it" in await someone.refused("trigger_and_wait", dag_id="payroll_x")
        assert posts(airflow) == []
        shown = await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD)
        assert posts(airflow) == []
        await someone.ask("trigger_and_wait", dag_id="etl", conf=GOOD, plan=shown["plan"])
        assert len(posts(airflow)) == 1
