"""A rule about a kind of effect holds for every tool and argument: what is denied is not sent by any way."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given

from airflow_mcp.catalog.loader import Tool
from airflow_mcp.catalog.versions import Version
from tests.permissions.support import (
    ADMIN,
    CHANGING,
    Json,
    changes,
    changing,
    connected,
    patient,
    talking_to,
    whole_call,
)
from tests.permissions.test_sent_is_decided import call_and_confirm, changing_calls
from tests.permissions.world import World
from tests.unit.assistant import GENERATIONS
from tests.unit.fake_airflow import Sent

pytestmark = pytest.mark.anyio
ALL: Json = {"tools": ADMIN, "confirm": "never"}


def actions(sent: Sent, word: str) -> list[Any]:
    """The entities to which a request of many does this."""
    body: Json = sent.body if isinstance(sent.body, dict) else {}
    return [one for action in body.get("actions", ()) if action["action"] == word for one in action["entities"]]


def said(sent: Sent, **fields: Any) -> bool:
    """Whether a request, or some entity in it, sets a field to this."""
    bodies = [sent.body, *actions(sent, "update")]
    return any(isinstance(one, dict) and one.get(key) == value for one in bodies for key, value in fields.items())


def parts(sent: Sent) -> list[str]:
    """The path of a request behind /api/vN."""
    whole = sent.path.strip("/").split("/")
    return whole[2:] if whole[0] == "api" else whole


def deletes(sent: Sent) -> bool:
    """Whether Airflow has less than before."""
    return sent.method == "DELETE" or bool(actions(sent, "delete"))


def starts_runs(sent: Sent) -> bool:
    """Whether tasks may run that would not have run."""
    match (sent.method, *parts(sent)):
        case ("POST", "backfills") | ("PUT", "backfills", _, "unpause") | ("POST", "assets" | "datasets", *_):
            return True
        case ("POST", "dags", _, "dagRuns" | "clearTaskInstances" | "clearDagRuns" | "clearPartitions"):
            return True
        case ("POST", "dags", _, "dagRuns", _, "clear") | ("PATCH", "dags", *_, "hitlDetails"):
            return True
        case ("PATCH", "dags") | ("PATCH", "dags", _):
            return said(sent, is_paused=False)
        case ("PATCH", "dags", _, "dagRuns", *_):
            return said(sent, state="queued")
        case _:
            return False


def sets_state(sent: Sent) -> bool:
    """Whether a run or task is said to be in a state, or a backfill over."""
    match (sent.method, *parts(sent)):
        case ("POST", "dags", _, "updateTaskInstancesState") | ("PUT", "backfills", _, "cancel"):
            return True
        case ("PATCH", "dags", _, "dagRuns", *_):
            states = ("queued", "success", "failed", "skipped")
            return any(said(sent, state=state, new_state=state) for state in states)
        case _:
            return False


def configures(sent: Sent) -> bool:
    """Whether a pool, variable or connection is another than before."""
    tested = parts(sent)[-1] == "test" or (parts(sent)[-1] == "enqueue-test" and not said(sent, commit_on_success=True))
    return parts(sent)[0] in ("pools", "variables", "connections") and not tested


def gives_access(sent: Sent) -> bool:
    """Whether a user or role is another than before."""
    return parts(sent)[0] in ("users", "roles") or parts(sent)[:3] == ["auth", "fab", "v1"]


KINDS: dict[str, Callable[[Sent], bool]] = {
    "@delete": deletes,
    "@starts_runs": starts_runs,
    "@state": sets_state,
    "@config": configures,
    "@access": gives_access,
}
# Calls of one tool that are of a kind, and beside them those that are not.
EITHER: dict[str, list[Json]] = {
    "set_dag_run_state": [{"state": "queued"}],
    "enqueue_connection_test": [{"commit_on_success": True}],
    "bulk_dag_runs": [
        {"update": [{"dag_run_id": "r1", "state": "queued"}]},
        {"update": [{"dag_run_id": "r1", "note": "n"}]},
        {"delete": ["r1"]},
    ],
    "bulk_task_instances": [{"update": [{"task_id": "load", "note": "n"}]}, {"delete": ["load"]}],
    "bulk_pools": [
        {"delete": ["small"]},
        {"update": [{"pool_name": "small", "slots": 1}], "delete": ["small"]},
        {"create": [{"pool_name": "small", "slots": 1}], "on_existing": "overwrite"},
    ],
    "bulk_variables": [
        {"delete": ["limit"]},
        {"update": [{"variable_key": "limit", "value": "v"}], "delete": ["limit"]},
    ],
    "bulk_connections": [{"delete": ["warehouse"]}],
    "plan_recovery": [{"mode": "backfill", "until": "2026-11-22T00:00:00Z"}],
}


def example_calls(version: str) -> list[tuple[Tool, Json]]:
    """Whole calls of every tool, one of each kind that it may be of, as far as this Airflow has their arguments."""
    calls: list[tuple[Tool, Json]] = []
    for tool in changing(version):
        plain = whole_call(tool)
        bare = {name: value for name, value in plain.items() if name not in ("create", "update", "delete")}
        calls += [
            (tool, plain),
            *((tool, (bare if tool.entry.bulk else plain) | more) for more in EITHER.get(tool.name, [])),
        ]
    uses = {tool.name: {use.name: use for use in tool.entry.params} for tool in CHANGING}
    here = Version.parse(version)
    return [(tool, call) for tool, call in calls if all(uses[tool.name][name].in_schema(here) for name in call)]


def failing(world: World) -> World:
    """The world where a run has failed, so that there is something to run again."""
    run = {"dag_id": "etl_a", "dag_run_id": "r1", "run_id": "r1", "state": "failed"}
    world.airflow.on("GET", "/dags/etl_a/dagRuns", {"dag_runs": [run], "total_entries": 1})
    return world


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_denied_kind_is_sent_whatever_tool_and_arguments(kind: str, version: str) -> None:
    world, sent, refused = World(version), Counter[str](), Counter[str]()
    with talking_to(world.airflow, {"allow": [ALL], "deny": [{"tools": [kind]}]}) as call:

        @patient(80)
        @given(changing_calls(changing(version)))
        def attack(case: tuple[Tool, Json]) -> None:
            tool, arguments = case
            world.airflow.seen.clear()
            with contextlib.suppress(UnicodeEncodeError):  # half a surrogate pair does not leave the client
                call_and_confirm(call, tool, arguments)
            assert [one.line for one in changes(world.airflow) if KINDS[kind](one)] == [], (tool.name, arguments)
            (sent if changes(world.airflow) else refused)[tool.name] += 1

        for case in example_calls(version):
            attack = example(case)(attack)
        attack()
    assert len(sent) > 20
    assert len(refused) > 5


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_is_sent_tells_of_what_kind_a_call_is_and_so_does_the_rule_about_that_kind(version: str) -> None:
    """Both ways: a call is refused under a denial exactly where without it something of that kind is sent."""
    calls, found = example_calls(version), Counter[str]()
    sent = [made for made, _ in await outcomes(version, calls, {"allow": [ALL]})]
    for kind, is_of in KINDS.items():
        answers = await outcomes(version, calls, {"allow": [ALL], "deny": [{"tools": [kind]}]})
        for (tool, arguments), made, (_, is_denied) in zip(calls, sent, answers, strict=True):
            assert is_denied is any(map(is_of, made)), (tool.name, arguments, kind)
            found[kind] += is_denied
    assert min(found[kind] for kind in KINDS) >= 3, found


async def outcomes(version: str, calls: list[tuple[Tool, Json]], policy: Json) -> list[tuple[list[Sent], bool]]:
    """What each call changed, and whether policy refused it."""
    world = failing(World(version))
    found: list[tuple[list[Sent], bool]] = []
    async with connected(world.airflow, policy) as someone:
        for tool, arguments in calls:
            world.airflow.seen.clear()
            result = await someone.client.call_tool(tool.name, arguments)
            is_refused = result.is_error and "not allowed" in str(result.content)
            found.append((changes(world.airflow), is_refused))
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_an_allowed_kind_allows_what_is_of_it_and_reaches_administration_only_as_access(kind: str) -> None:
    world = World()
    async with connected(world.airflow, {"allow": [{"tools": [kind], "confirm": "never"}]}) as someone:
        for tool in CHANGING:
            world.airflow.seen.clear()
            await someone.client.call_tool(tool.name, whole_call(tool))
            made = changes(world.airflow)
            assert all(map(KINDS[kind], made)), tool.name
            if tool.entry.access == "admin":
                assert bool(made) is (kind == "@access"), tool.name
    assert "@admin" not in kind


async def test_writes_that_start_nothing_are_two_lines() -> None:
    world = World()
    policy: Json = {"allow": [{"tools": ["@write"]}], "deny": [{"tools": ["@starts_runs"]}]}
    async with connected(world.airflow, policy) as someone:
        listed = await someone.tools()
        await someone.ask("set_dag_run_state", dag_id="etl_a", dag_run_id="r1", state="failed")
        for call in ({"state": "queued"},):
            assert "denies it" in await someone.refused("set_dag_run_state", dag_id="etl_a", dag_run_id="r1", **call)
        await someone.refused("trigger_dag_run", dag_id="etl_a")
        await someone.refused("unpause_dags", dag_id_pattern="etl")
        await someone.ask("pause_dags", dag_id_pattern="etl")
    assert "pause_dag" in listed
    assert not {"trigger_dag_run", "unpause_dag", "trigger_and_wait"} & set(listed)
    assert [parts(sent) for sent in changes(world.airflow)] == [["dags", "etl_a", "dagRuns", "r1"], ["dags"]]
