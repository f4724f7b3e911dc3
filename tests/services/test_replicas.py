"""Any replica answers any request, and together they do what one server would: nothing twice, nothing lost."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from mcp.types import ElicitResult

from tests.http.serving import Served
from tests.services.conftest import KEY, Fleet, fleet
from tests.unit.assistant import ERAS, Assistant

pytestmark = pytest.mark.anyio
ALICE = "token-of-alice"


def answered(folder_of: Fleet) -> Counter[int]:
    """How many calls each replica has written down as ended."""
    counts: Counter[int] = Counter()
    for number, _ in enumerate(folder_of.replicas):
        file = folder_of.store.folder / str(number) / "audit.jsonl"
        counts[number] = sum(json.loads(line)["phase"] == "ends" for line in file.read_text().splitlines())
    return counts


@pytest.mark.parametrize("mode", ERAS)
async def test_calls_of_one_client_are_answered_by_every_replica(three: Fleet, mode: str) -> None:
    before = answered(three)
    async with three.front.assistant(ALICE, mode=mode) as alice:
        for _ in range(12):
            assert (await alice.ask("get_dag", dag_id="etl"))["dag_id"] == "etl"
    after = answered(three)
    assert sum(after.values()) - sum(before.values()) == 12
    assert all(after[number] > before[number] for number in after), after


async def everywhere(three: Fleet, stack: AsyncExitStack, mode: str = "auto") -> list[Assistant]:
    """A client of each replica itself."""
    return [await stack.enter_async_context(one.assistant(ALICE, mode=mode)) for one in three.replicas]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_plan_of_one_replica_is_good_once_on_another(three: Fleet, mode: str) -> None:
    async with AsyncExitStack() as stack:
        one, other, third = await everywhere(three, stack, mode)
        plan = (await one.ask("delete_pool", pool_name="small"))["plan"]
        before = three.airflow.lines().count("DELETE /pools/small")
        assert (await other.ask("delete_pool", pool_name="small", plan=plan))["done"] is True
        for again in (one, other, third):
            assert "used already" in await again.refused("delete_pool", pool_name="small", plan=plan)
        assert three.airflow.lines().count("DELETE /pools/small") == before + 1


async def test_a_plan_presented_everywhere_at_once_is_carried_out_once(three: Fleet) -> None:
    async with AsyncExitStack() as stack:
        replicas = await everywhere(three, stack)
        for _ in range(5):
            plan = (await replicas[0].ask("delete_pool", pool_name="small"))["plan"]
            before = three.airflow.lines().count("DELETE /pools/small")
            refused: list[bool] = []

            async def present(replica: Assistant, plan: str, refused: list[bool]) -> None:
                result = await replica.client.call_tool("delete_pool", {"pool_name": "small", "plan": plan})
                refused.append(bool(result.is_error))

            async with anyio.create_task_group() as group:
                for replica in (*replicas, *replicas):
                    group.start_soon(present, replica, plan, refused)
            assert sorted(refused) == [False, True, True, True, True, True]
            assert three.airflow.lines().count("DELETE /pools/small") == before + 1


async def test_an_answer_of_a_human_counts_on_whichever_replica_it_arrives(three: Fleet) -> None:
    asked: list[str] = []

    async def agree(context: object, params: object) -> ElicitResult:
        asked.append(str(params))
        return ElicitResult(action="accept", content={"confirm": True})

    before = three.airflow.lines().count("DELETE /variables/gone")
    async with three.front.assistant(ALICE, human=agree) as alice:
        for _ in range(6):
            assert (await alice.ask("delete_variable", variable_key="gone"))["done"] is True
    assert len(asked) == 6
    assert three.airflow.lines().count("DELETE /variables/gone") == before + 6


async def test_a_client_that_cannot_be_asked_without_a_session_is_told_so(three: Fleet) -> None:
    async def agree(context: object, params: object) -> ElicitResult:
        raise AssertionError("nobody can be asked here")

    async with three.front.assistant(ALICE, mode="legacy", human=agree) as alice:
        words = await alice.refused("delete_variable", variable_key="gone")
    assert "this client cannot show a question" in words


async def test_calls_of_a_minute_are_counted_together(three: Fleet) -> None:
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(one.assistant("token-of-bob")) for one in three.replicas]
        refused = 0
        for number in range(45):
            result = await replicas[number % 3].client.call_tool("get_dag", {"dag_id": "etl"})
            refused += bool(result.is_error)
        assert refused == 5
        assert "Too many read calls: 40 a minute" in await replicas[0].refused("get_dag", dag_id="etl")


async def test_while_redis_is_away_nothing_is_changed_that_needs_it_and_afterwards_all_is_well(tmp_path: Path) -> None:
    rules = 'allow = "delete_pool, pause_dag"\ntoolsets = "all"\n'
    with fleet(tmp_path, 1, rules=rules) as running:
        async with running.front.assistant() as someone:
            plan = (await someone.ask("delete_pool", pool_name="small"))["plan"]
            running.store.stop()
            words = await someone.refused("delete_pool", pool_name="small", plan=plan)
            assert "AIRFLOW_MCP_REDIS_URL" in words
            assert "DELETE /pools/small" not in running.airflow.lines()
            assert (await someone.ask("get_dag", dag_id="etl"))["dag_id"] == "etl"
            running.store.start()
            assert (await someone.ask("delete_pool", pool_name="small", plan=plan))["done"] is True


async def test_a_replica_with_another_key_accepts_no_plan_of_the_others(three: Fleet, tmp_path: Path) -> None:
    with fleet(tmp_path, 1, shared_key="another-key-than-the-one-the-others-share") as stranger:
        async with three.replicas[0].assistant(ALICE) as one, stranger.replicas[0].assistant(ALICE) as other:
            plan = (await one.ask("delete_pool", pool_name="small"))["plan"]
            assert "not one this server gave" in await other.refused("delete_pool", pool_name="small", plan=plan)


async def test_a_key_can_be_replaced_while_plans_are_out(three: Fleet, tmp_path: Path) -> None:
    keys = f"the-key-that-comes-after-the-one-of-the-tests,{KEY}"
    with fleet(tmp_path, 1, shared_key=keys) as newer:
        async with three.replicas[0].assistant(ALICE) as one, newer.replicas[0].assistant(ALICE) as other:
            plan = (await one.ask("delete_pool", pool_name="small"))["plan"]
            assert (await other.ask("delete_pool", pool_name="small", plan=plan))["done"] is True
            newest = (await other.ask("delete_pool", pool_name="small"))["plan"]
            assert "not one this server gave" in await one.refused("delete_pool", pool_name="small", plan=newest)


async def test_worker_processes_of_one_server_are_replicas_too(tmp_path: Path) -> None:
    with fleet(tmp_path, 1, "--workers", "2") as running:
        async with running.replicas[0].assistant(ALICE) as alice:
            plan = (await alice.ask("delete_pool", pool_name="small"))["plan"]
        done = 0
        for _ in range(8):  # connections of their own, which the workers share out
            async with running.replicas[0].assistant(ALICE) as alice:
                result = await alice.client.call_tool("delete_pool", {"pool_name": "small", "plan": plan})
                done += not result.is_error
        assert done == 1
        lines = (running.store.folder / "0" / "audit.jsonl").read_text().splitlines()
        assert len([json.loads(line) for line in lines if '"ends"' in line]) == 9


async def test_a_replica_that_is_killed_takes_no_accepted_change_with_it_and_none_is_made_twice(tmp_path: Path) -> None:
    with fleet(tmp_path) as running:
        outcomes: dict[str, str] = {}

        async def work(worker: int, front: Served) -> None:
            for number in range(15):
                name = f"pool-{worker}-{number}"
                try:
                    async with front.assistant(ALICE) as alice:
                        result = await alice.client.call_tool("create_pool", {"name": name, "slots": 1})
                except Exception:  # noqa: BLE001 - a connection that broke: the client knows nothing
                    outcomes[name] = "unknown"
                else:
                    outcomes[name] = "refused" if result.is_error else "made"
                if worker == 0 and number == 4:
                    running.replicas[1].process.kill()

        async with anyio.create_task_group() as group:
            for worker in range(4):
                group.start_soon(work, worker, running.front)
        made = Counter(running.created())
        assert len(outcomes) == 60
        assert [name for name, times in made.items() if times > 1] == []
        assert {name for name, outcome in outcomes.items() if outcome == "made"} <= made.keys()
        assert {name for name, outcome in outcomes.items() if outcome == "refused"} & made.keys() == set()
        # The two that are left do the work: what was lost is what was in flight when the third one died.
        assert sum(outcome == "made" for outcome in outcomes.values()) >= 45
