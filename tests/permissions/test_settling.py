"""A change whose answer cannot be used is settled by reading back, and what cannot be told is said to be so."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from mcp.types import CallToolResult

from airflow_mcp.catalog.loader import Tool
from tests.permissions.support import ADMIN, CATALOG, Json, changes, changing, is_change, talking_to, whole_call
from tests.permissions.world import World
from tests.unit.assistant import GENERATIONS, assistant, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, pool, task_instance

pytestmark = pytest.mark.anyio
ALL: Json = {"allow": [{"tools": ADMIN, "confirm": "never"}]}
HTML = "<html>one moment, please</html>"
UNUSABLE: dict[str, Any] = {
    "a page": Reply(200, HTML),
    "cut JSON": Reply(200, '{"name": "sma'),
    "a list": Reply(200, [1, 2]),
    "a number": Reply(200, "17"),
    "another's JSON": Reply(200, {"healthy": "yes"}),
    "a redirect": Reply(302, headers={"location": "https://login.example/"}),
    "too many": Reply(429, {"detail": "slow down"}),
    "failed": Reply(500, {"detail": "it broke"}),
    "bad gateway": Reply(502, HTML),
    "unavailable": Reply(503),
    "gateway time-out": Reply(504, HTML),
    "lost": httpx2.ReadError("reset"),
    "no answer": httpx2.ReadTimeout("slow"),
    **{f"a proxy's {status}": Reply(status, HTML) for status in (400, 401, 403, 404, 405, 409, 413, 415, 422)},
}
REFUSALS = (400, 403, 404, 405, 409, 413, 415, 422)
DOUBT = "may or may not have happened"
NOT_SO_FAR = "has not happened so far"
READ_BACK = "it was read back"


def own(version: str, status: int) -> Reply:
    """A refusal in the words of Airflow itself."""
    if version.startswith("2."):
        return Reply(status, {"type": "about:blank", "title": "Refused", "status": status, "detail": None})
    return Reply(status, {"detail": "Refused"})


class Faulty(World):
    """Answers changes with `fault`, and does nothing about them."""

    fault: Any = None

    def answer(self, sent: Sent) -> Any:
        if not is_change(sent):
            return super().answer(sent)
        if isinstance(self.fault, Exception):
            raise self.fault
        return self.fault


@contextmanager
def called(version: str) -> Generator[tuple[Faulty, Any]]:
    world = Faulty(version)
    with talking_to(world.airflow, ALL) as call:

        def answer(tool: Tool) -> str:
            world.airflow.seen.clear()
            return said(call(tool.name, **whole_call(tool)))

        yield world, answer


def said(result: CallToolResult) -> str:
    return text_of(result)


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("kind", UNUSABLE)
def test_every_change_is_settled_whatever_unusable_answer_it_gets(version: str, kind: str) -> None:
    with called(version) as (world, answer):
        world.fault = UNUSABLE[kind]
        for tool in changing(version):
            words = answer(tool)
            assert any(word in words for word in (DOUBT, NOT_SO_FAR, READ_BACK)), f"{tool.name}: {words}"
            assert len(changes(world.airflow)) == 1, f"{tool.name} was sent again"
            sent = next(index for index, one in enumerate(world.airflow.seen) if is_change(one))
            reads = world.airflow.seen[sent + 1 :]
            assert reads or isinstance(_operation(tool).entry.read_back, str), f"{tool.name} was not read back"
            assert len(words) <= 600 or READ_BACK in words or '"steps"' in words


def _operation(tool: Tool) -> Tool:
    """The one that makes the change, where a workflow has it as a step."""
    steps = [CATALOG.operations[name] for name in tool.entry.steps]
    return next((step for step in steps if step.entry.access != "read"), tool)


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_in_airflows_own_words_is_taken_at_its_word(version: str, status: int) -> None:
    with called(version) as (world, answer):
        world.fault = own(version, status)
        for tool in changing(version):
            words = answer(tool)
            assert not any(word in words for word in (DOUBT, NOT_SO_FAR, READ_BACK)), f"{tool.name}: {words}"
            assert len(changes(world.airflow)) == 1
            if status not in (403, 404):  # whether a login ended (2.x), and what is missing, is looked up
                assert is_change(world.airflow.seen[-1]), f"{tool.name} was read back"


async def settled(airflow: FakeAirflow, tool: str, **arguments: Any) -> str:
    async with assistant(airflow, allow=("*", "@admin"), toolsets=("all",)) as someone:
        return text_of(await someone.client.call_tool(tool, arguments))


LOST = Reply(502, HTML)
SMALL = {"name": "small", "slots": 3, "description": "x", "include_deferred": False}
RUN: Json = {"dag_id": "etl", "dag_run_id": "r1"}
TASK: Json = {**RUN, "task_id": "load"}
# Each change with its route, what is read and what it holds where the change happened, and where it did not.
HAPPENED: list[tuple[str, Json, str, str, Any, Any]] = [
    (
        "create_pool",
        {"pool_name": "small", "slots": 3, "description": "x"},
        "POST /pools",
        "GET /pools/small",
        SMALL,
        {**SMALL, "slots": 9},
    ),
    (
        "update_pool",
        {"pool_name": "small", "slots": 3},
        "PATCH /pools/small",
        "GET /pools/small",
        SMALL,
        pool("small", slots=9),
    ),
    ("pause_dag", {"dag_id": "etl"}, "PATCH /dags/etl", "GET /dags/etl", dag(is_paused=True), dag(is_paused=False)),
    (
        "set_dag_run_state",
        {**RUN, "state": "failed"},
        "PATCH /dags/etl/dagRuns/r1",
        "GET /dags/etl/dagRuns/r1",
        dag_run("r1", "failed"),
        dag_run("r1", "running"),
    ),
    (
        "set_dag_run_note",
        {**RUN, "note": "mine"},
        "PATCH /dags/etl/dagRuns/r1",
        "GET /dags/etl/dagRuns/r1",
        dag_run("r1", "failed", note="mine"),
        dag_run("r1", "failed", note="theirs"),
    ),
    (
        "set_task_instance_state",
        {**TASK, "new_state": "success"},
        "PATCH /dags/etl/dagRuns/r1/taskInstances/load",
        "GET /dags/etl/dagRuns/r1/taskInstances/load",
        task_instance("load", state="success"),
        task_instance("load", state="failed"),
    ),
    (
        "update_variable",
        {"variable_key": "limit", "value": "7"},
        "PATCH /variables/limit",
        "GET /variables/limit",
        {"key": "limit", "value": "7"},
        {"key": "limit", "value": "6"},
    ),
    (
        "create_xcom",
        {**TASK, "xcom_key": "k", "value": {"a": 1}},
        "POST /dags/etl/dagRuns/r1/taskInstances/load/xcomEntries",
        "GET /dags/etl/dagRuns/r1/taskInstances/load/xcomEntries/k",
        {"key": "k", "value": '{"a": 1}'},
        {"key": "k", "value": {"a": 2}},
    ),
    (
        "create_user",
        {"username": "ann", "password": "hunter2-x", "email": "a@x.org", "first_name": "A", "last_name": "B"},
        "POST /auth/fab/v1/users",
        "GET /auth/fab/v1/users/ann",
        {"username": "ann", "email": "a@x.org", "first_name": "A", "last_name": "B"},
        {"username": "ann", "email": "other@x.org", "first_name": "A", "last_name": "B"},
    ),
    (
        "bulk_pools",
        {"update": [{"pool_name": "small", "slots": 3}]},
        "PATCH /pools",
        "GET /pools/small",
        SMALL,
        {**SMALL, "slots": 9},
    ),
]


@pytest.mark.parametrize("row", HAPPENED, ids=[row[0] for row in HAPPENED])
async def test_what_airflow_holds_as_asked_is_answered_and_said_to_be_read(row: tuple[Any, ...]) -> None:
    tool, arguments, change, read, held, _ = row
    airflow = FakeAirflow().on(*change.split(), LOST).on(*read.split(), held)
    words = await settled(airflow, tool, **arguments)
    assert READ_BACK in words
    assert "does not tell whether this call did it or it was so before" in words


@pytest.mark.parametrize("row", HAPPENED, ids=[row[0] for row in HAPPENED])
async def test_what_airflow_holds_otherwise_has_not_happened_so_far(row: tuple[Any, ...]) -> None:
    tool, arguments, change, read, _, held = row
    airflow = FakeAirflow().on(*change.split(), LOST).on(*read.split(), held)
    words = await settled(airflow, tool, **arguments)
    assert NOT_SO_FAR in words
    assert "look again before you repeat it" in words


async def test_what_cannot_be_read_may_or_may_not_have_happened_and_its_id_is_told() -> None:
    airflow = FakeAirflow().on("POST", "/pools", LOST).on("GET", "/pools/small", Reply(503, HTML))
    words = await settled(airflow, "create_pool", pool_name="small", slots=3)
    assert DOUBT in words
    assert "get_pool with pool_name 'small'" in words


@pytest.mark.parametrize("missing", [Reply(404, HTML), Reply(404)], ids=["a page", "nothing"])
async def test_a_proxys_404_is_no_proof_that_something_was_deleted(missing: Reply) -> None:
    airflow = FakeAirflow().on("DELETE", "/pools/small", LOST).on("GET", "/pools/small", missing)
    assert DOUBT in await settled(airflow, "delete_pool", pool_name="small")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_is_gone_was_deleted_by_this_call_or_before(version: str) -> None:
    airflow = FakeAirflow(version).on("DELETE", "/pools/small", LOST)
    words = await settled(airflow, "delete_pool", pool_name="small")
    assert "Airflow has no pool 'small' now" in words
    assert "does not tell whether this call did it or it was so before" in words
    airflow = FakeAirflow(version).on("DELETE", "/pools/small", LOST).on("GET", "/pools/small", pool("small"))
    assert NOT_SO_FAR in await settled(airflow, "delete_pool", pool_name="small")


async def test_a_secret_that_airflow_hides_is_not_taken_for_the_one_that_was_sent() -> None:
    held = {"connection_id": "db", "conn_type": "http", "password": "***"}
    airflow = FakeAirflow().on("PATCH", "/connections/db", LOST).on("GET", "/connections/db", held)
    words = await settled(airflow, "update_connection", connection_id="db", password="hunter2-x")
    assert DOUBT in words
    assert "hunter2" not in words


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(("state", "words"), [("queued", READ_BACK), (None, READ_BACK), ("failed", DOUBT)])
async def test_a_clear_is_settled_by_the_states_of_what_it_clears(version: str, state: str | None, words: str) -> None:
    def clear(sent: Sent) -> Any:
        row = {**TASK, "state": state} if version == "3.3.2" else TASK
        return {"task_instances": [row], "total_entries": 1} if sent.body["dry_run"] else LOST

    airflow = FakeAirflow(version).on("POST", "/dags/etl/clearTaskInstances", clear)
    rows = [task_instance("load", state=state, **RUN)]
    airflow.on("GET", "/dags/etl/dagRuns/r1/taskInstances", {"task_instances": rows, "total_entries": 1})
    assert words in await settled(airflow, "clear_task_instances", **RUN, dry_run=False)


@pytest.mark.parametrize(("made", "words"), [("now", READ_BACK), ("2026-01-01T00:00:00Z", DOUBT), (None, NOT_SO_FAR)])
async def test_a_backfill_is_told_from_an_older_one_by_when_it_was_made(made: str | None, words: str) -> None:
    dates = {"from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-03T00:00:00Z"}
    moment = datetime.now(UTC).isoformat() if made == "now" else made
    held = {"id": 7, "dag_id": "etl", **dates, "created_at": moment}
    rows = [held] if made else [{**held, "from_date": "2025-01-01T00:00:00Z"}]
    airflow = FakeAirflow().on("POST", "/backfills", Reply(503, HTML))
    airflow.on("GET", "/backfills", {"backfills": rows, "total_entries": 1})
    airflow.on("POST", "/backfills/dry_run", {"backfills": [], "total_entries": 0})
    answer = await settled(airflow, "create_backfill", dag_id="etl", **dates, dry_run=False)
    assert words in answer
    assert ("7" in answer) == bool(made)


async def test_of_many_objects_those_that_are_not_as_asked_are_named() -> None:
    airflow = FakeAirflow().on("PATCH", "/pools", LOST).on("GET", "/pools/small", SMALL)
    new = [
        {"pool_name": name, "slots": 3, "description": "x", "include_deferred": False} for name in ("small", "large")
    ]
    words = await settled(airflow, "bulk_pools", create=new)
    assert NOT_SO_FAR in words
    assert "create large" in words
    assert "as asked are small" in words


async def test_a_renamed_role_is_looked_for_under_its_new_name() -> None:
    airflow = FakeAirflow().on("GET", "/auth/fab/v1/roles/Old", {"name": "Old", "actions": []})
    airflow.on("PATCH", "/auth/fab/v1/roles/Old", LOST).on(
        "GET", "/auth/fab/v1/roles/New", {"name": "New", "actions": []}
    )
    words = await settled(airflow, "update_role", role_name="Old", name="New")
    assert "role_name 'New'" in words
