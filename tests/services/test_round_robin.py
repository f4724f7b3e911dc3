"""Calls that reach another replica each time: plans, answers and rates hold on all of them together."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mcp.types import CallToolResult, ElicitResult, InputRequiredResult

from tests.http.serving import Served
from tests.services.replicas import KEY, LIMITED, OTHER_KEY, Fleet, fleet
from tests.unit.assistant import ERAS

pytestmark = pytest.mark.anyio
YES = ElicitResult(action="accept", content={"confirm": True})


async def yes(context: Any, params: Any) -> ElicitResult:
    return YES


@pytest.mark.parametrize("mode", ERAS)
async def test_every_call_succeeds_and_every_replica_has_its_share(shared: Fleet, mode: str) -> None:
    before = shared.balancer.answered()
    async with shared.front.assistant(mode=mode) as someone:
        for _ in range(12):
            assert (await someone.ask("get_dag", dag_id="etl"))["dag_id"] == "etl"
    got = shared.balancer.answered() - before
    assert got.keys() == {one.url.removeprefix("http://") for one in shared.replicas}
    assert min(got.values()) >= 4, got


@pytest.mark.parametrize("mode", ERAS)
async def test_a_plan_of_one_replica_is_good_once_on_the_others(shared: Fleet, mode: str) -> None:
    before = shared.deleted()
    first, second, third = shared.replicas
    plan = await _plan(first, mode)
    async with second.assistant(mode=mode) as someone:
        assert (await someone.ask("delete_pool", pool_name="small", plan=plan))["done"] is True
    for one in (first, third):
        async with one.assistant(mode=mode) as someone:
            assert "used already" in await someone.refused("delete_pool", pool_name="small", plan=plan)
    assert shared.deleted() == before + 1


async def test_of_a_plan_presented_to_all_replicas_at_once_one_is_done(shared: Fleet) -> None:
    before = shared.deleted()
    plan = await _plan(shared.replicas[0])

    async def present(replica: Served) -> CallToolResult:
        async with replica.assistant() as someone:
            return await someone.client.call_tool("delete_pool", {"pool_name": "small", "plan": plan})

    results = await asyncio.gather(*(present(one) for one in shared.replicas * 3))
    assert sum(not one.is_error for one in results) == 1
    assert shared.deleted() == before + 1


async def test_an_answer_is_taken_by_another_replica_once(shared: Fleet) -> None:
    before = shared.airflow.lines().count("PATCH /dags/etl")
    first, second, third = shared.replicas

    async def call(replica: Served, **answer: Any) -> Any:
        async with replica.assistant(human=yes) as someone:
            return await someone.client.session.call_tool(
                "pause_dag", {"dag_id": "etl"}, allow_input_required=True, **answer
            )

    asked = await call(first)
    assert isinstance(asked, InputRequiredResult)
    answer = {"input_responses": {"confirm": YES}, "request_state": asked.request_state}
    done = await call(second, **answer)
    assert not done.is_error, done
    again = await asyncio.gather(*(call(one, **answer) for one in (first, second, third)))
    assert all(one.is_error and "used already" in str(one.content) for one in again)
    assert shared.airflow.lines().count("PATCH /dags/etl") == before + 1


async def test_a_human_is_asked_through_the_balancer(shared: Fleet) -> None:
    async with shared.front.assistant(human=yes) as someone:
        assert (await someone.ask("pause_dag", dag_id="etl"))["is_paused"] is True


async def test_who_cannot_be_asked_without_a_session_is_told_so(shared: Fleet) -> None:
    before = shared.airflow.lines().count("PATCH /dags/etl")
    async with shared.front.assistant(mode="legacy", human=yes) as someone:
        assert "this client cannot show a question" in await someone.refused("pause_dag", dag_id="etl")
    assert shared.airflow.lines().count("PATCH /dags/etl") == before


async def test_every_line_of_the_audit_trail_they_share_is_whole(shared: Fleet) -> None:
    async def create(number: int) -> None:
        name = f"audited-{number}"
        async with shared.front.assistant() as someone:
            await someone.ask("create_pool", pool_name=name, slots=1, description="long " * 4000)

    await asyncio.gather(*(create(number) for number in range(9)))
    lines = [json.loads(line) for line in (shared.balancer.folder / "audit.jsonl").read_text().splitlines()]
    told = [line["arguments"]["pool_name"] for line in lines if line["tool"] == "create_pool"]
    assert all(told.count(f"audited-{number}") == 2 for number in range(9))


async def test_a_minute_holds_as_many_calls_on_all_replicas_as_on_one(tmp_path: Path) -> None:
    with fleet(tmp_path, config=LIMITED) as running:

        async def create(number: int) -> CallToolResult:
            async with running.replicas[number % 3].assistant() as someone:
                return await someone.client.call_tool("create_pool", {"pool_name": f"p{number}", "slots": 1})

        results = await asyncio.gather(*(create(number) for number in range(9)))
        refused = [str(one.content) for one in results if one.is_error]
        assert len(refused) == 6
        assert all("Too many write calls: 3 a minute" in one and "try again in" in one for one in refused)
        assert len(running.made()) == 3
        with running.store.client() as eyes:
            keys: Any = eyes.keys("*")
            assert [key.rsplit(":", 1)[0] for key in keys] == ["airflow-mcp:rate"]
            assert all(0 < int(str(eyes.ttl(key))) <= 60 for key in keys)


async def test_a_replica_with_another_key_has_its_plans_refused_elsewhere(tmp_path: Path) -> None:
    with fleet(tmp_path, keys=(OTHER_KEY, KEY, f"{KEY},{OTHER_KEY}")) as running:
        plan = await _plan(running.replicas[0])
        async with running.replicas[1].assistant() as someone:
            assert "is not one this server gave" in await someone.refused("delete_pool", pool_name="small", plan=plan)
        assert running.deleted() == 0
        async with running.replicas[2].assistant() as someone:  # where a rotation has both
            assert (await someone.ask("delete_pool", pool_name="small", plan=plan))["done"] is True
        newer = await _plan(running.replicas[2])
        async with running.replicas[1].assistant() as someone:
            assert (await someone.ask("delete_pool", pool_name="small", plan=newer))["done"] is True


@pytest.mark.parametrize("mode", ERAS)
async def test_workers_of_one_server_are_replicas_too(tmp_path: Path, mode: str) -> None:
    with fleet(tmp_path, "--workers", "2", keys=(KEY,)) as running:
        for _ in range(6):  # each client has connections of its own, and any worker may take one
            plan = await _plan(running.front, mode)
            async with running.front.assistant(mode=mode) as someone:
                assert (await someone.ask("delete_pool", pool_name="small", plan=plan))["done"] is True
        assert running.deleted() == 6


async def _plan(replica: Served, mode: str = "auto") -> str:
    async with replica.assistant(mode=mode) as someone:
        return (await someone.ask("delete_pool", pool_name="small"))["plan"]
