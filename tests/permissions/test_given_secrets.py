"""A secret among a call's arguments reaches Airflow and nothing else: no trail, question, preview, plan or sentence."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from mcp.types import ElicitResult

from tests.permissions.support import ADMIN, Json, changes, connected
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS

pytestmark = pytest.mark.anyio
SECRET = "hunter2-of-prod"
CONNECTION: Json = {"connection_id": "warehouse", "conn_type": "http"}
GIVEN: list[tuple[str, Json]] = [
    ("create_connection", {**CONNECTION, "password": SECRET, "extra": {"plain_name": SECRET, "deep": [{"x": SECRET}]}}),
    ("create_connection", {**CONNECTION, "extra": json.dumps({"plain_name": SECRET})}),
    ("create_connection", {**CONNECTION, "host": f"https://ann:{SECRET}@host.example"}),
    ("update_connection", {"connection_id": "warehouse", "password": SECRET, "extra": SECRET}),
    ("test_connection", {**CONNECTION, "password": SECRET}),
    ("create_variable", {"variable_key": "limit_new", "value": SECRET}),
    ("update_variable", {"variable_key": "limit", "value": {"plain_name": [SECRET]}}),
    ("update_user", {"username": "ann", "password": SECRET}),
    (
        "create_user",
        {"username": "eve", "password": SECRET, "email": "e@example.org", "first_name": "E", "last_name": "V"},
    ),
    ("create_xcom", {"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "load", "xcom_key": "k", "value": SECRET}),
    ("set_asset_state", {"uri": "s3://lake/orders", "state_key": "k", "value": {"plain_name": SECRET}}),
    (
        "bulk_variables",
        {
            "create": [{"variable_key": "limit", "value": SECRET}],
            "update": [{"variable_key": "limit", "value": SECRET}],
        },
    ),
    ("bulk_connections", {"create": [{**CONNECTION, "password": SECRET, "extra": {"plain_name": SECRET}}]}),
    ("create_backfill", {"dag_id": "etl_a", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z",
                         "dag_run_conf": {"api_key": SECRET}, "dry_run": False}),
]  # fmt: skip
# Of a wrong kind or in a wrong place: the sentence that refuses them is written down.
WRONG: list[tuple[str, Json]] = [
    ("create_connection", {**CONNECTION, "password": [SECRET]}),
    ("create_connection", {**CONNECTION, "extra": [SECRET]}),
    ("update_user", {"username": "ann", "password": {"new": SECRET}}),
    ("bulk_variables", {"create": {"variable_key": "limit", "value": SECRET}}),
    ("bulk_variables", {"create": [[{"variable_key": "limit", "value": SECRET}]]}),
    ("bulk_variables", {"update": [{"variable_key": 1, "value": SECRET}]}),
    ("bulk_connections", {"create": [{**CONNECTION, "password": [SECRET]}]}),
    ("bulk_connections", {"create": [{**CONNECTION, "extra": [SECRET]}]}),
    ("set_asset_state", {"asset_id": "seven", "state_key": "k", "value": SECRET}),
]


def on(version: str, cases: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
    """Those that this Airflow has."""
    later = ("bulk_", "create_xcom", "set_asset_state", "create_backfill")
    return [case for case in cases if version.startswith("3") or not case[0].startswith(later)]


def held_in(plan: str) -> str:
    """What a plan holds, read as its bearer could: it is signed, and not encrypted."""
    return "".join(base64.urlsafe_b64decode(f"{part}===").decode("latin-1") for part in plan.split(".")) + plan


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_secret_given_reaches_airflow_and_no_preview_plan_or_trail(
    tmp_path: Path, version: str, mode: str
) -> None:
    world, trail = World(version), tmp_path / "audit.jsonl"
    policy: Json = {"allow": [{"tools": ADMIN, "confirm": "plan"}]}
    async with connected(world.airflow, policy, mode=mode, audit=str(trail)) as someone:
        for tool, arguments in on(version, GIVEN):
            world.airflow.seen.clear()
            answer = await someone.ask(tool, **arguments)
            assert SECRET not in str(answer), tool
            assert SECRET not in held_in(answer["plan"]), tool
            await someone.ask(tool, **arguments, plan=answer["plan"])
            (sent,) = changes(world.airflow)
            assert SECRET in json.dumps(sent.body), tool
            await someone.refused(tool, **arguments, plan=answer["plan"])
    text = trail.read_text(encoding="utf-8")
    assert "***" in text
    assert SECRET not in text


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_secret_given_is_in_no_question_and_in_no_trail_of_a_no(
    tmp_path: Path, version: str, mode: str
) -> None:
    world, trail, questions = World(version), tmp_path / "audit.jsonl", list[str]()

    async def no(context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="decline")

    policy: Json = {"allow": [{"tools": [*ADMIN, "@secret"], "confirm": "human"}]}
    async with connected(world.airflow, policy, mode=mode, human=no, audit=str(trail)) as someone:
        for tool, arguments in on(version, GIVEN):
            await someone.refused(tool, **arguments)
    assert len(questions) == len(on(version, GIVEN))
    assert SECRET not in str(questions)
    assert SECRET not in trail.read_text(encoding="utf-8")
    assert changes(world.airflow) == []


@pytest.mark.parametrize("way", ["direct", "call_changing_tool", "explain_permission", "not allowed"])
async def test_a_secret_of_a_wrong_kind_is_not_in_the_sentence_that_refuses_it(tmp_path: Path, way: str) -> None:
    world, trail = World(), tmp_path / "audit.jsonl"
    allow = [{"tools": ADMIN, "confirm": "never"}] if way != "not allowed" else []
    async with connected(world.airflow, {"allow": allow}, audit=str(trail)) as someone:
        for tool, arguments in WRONG:
            name, given = (
                (tool, arguments) if way in ("direct", "not allowed") else (way, {"tool": tool, "arguments": arguments})
            )
            assert SECRET not in await someone.refused(name, **given), arguments
    assert SECRET not in trail.read_text(encoding="utf-8")
    assert changes(world.airflow) == []
