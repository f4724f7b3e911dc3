"""What happens to calls when a replica dies, is told to end, or Redis is away."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.http.serving import PATIENCE
from tests.services.processes import PASSWORD, listens
from tests.services.replicas import Fleet, fleet, pool_of
from tests.unit.assistant import ERAS
from tests.unit.fake_airflow import Sent

pytestmark = pytest.mark.anyio
CHANGES = 60
AT_ONCE = 6


@pytest.mark.parametrize("mode", ERAS)
async def test_a_replica_killed_under_load_loses_and_repeats_no_change(tmp_path: Path, mode: str) -> None:
    with fleet(tmp_path) as running:

        def kill_at_the_tenth(sent: Sent) -> Any:
            if len(running.made()) == 10:
                running.replicas[0].process.kill()
            return pool_of(sent)

        running.airflow.on("POST", "/pools", kill_at_the_tenth)
        succeeded = await _create_many(running, mode)
        made = Counter(running.made())
        assert running.replicas[0].process.wait(PATIENCE) == -signal.SIGKILL
    assert set(made.values()) == {1}, "a change was made twice"
    assert succeeded <= made.keys(), "a change that was answered with success is missing"
    assert len(succeeded) >= CHANGES - 2 * AT_ONCE, f"only {len(succeeded)} of {CHANGES} succeeded"


async def _create_many(running: Fleet, mode: str) -> set[str]:
    succeeded: set[str] = set()
    left = iter(range(CHANGES))

    async def work() -> None:
        for number in left:
            try:
                async with running.front.assistant(mode=mode) as someone:
                    result = await someone.client.call_tool("create_pool", {"pool_name": f"p{number}", "slots": 1})
                    if not result.is_error:
                        succeeded.add(f"p{number}")
            except Exception:  # noqa: BLE001 - the call that the killed replica had; a group of errors of any kind
                continue

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return succeeded


@pytest.mark.parametrize("mode", ERAS)
async def test_a_replica_told_to_end_finishes_what_it_has_begun(tmp_path: Path, mode: str) -> None:
    with fleet(tmp_path) as running:
        begun, finish = threading.Event(), threading.Event()

        async def held(sent: Sent) -> Any:
            begun.set()
            await asyncio.to_thread(finish.wait, PATIENCE)
            return pool_of(sent)

        running.airflow.on("POST", "/pools", held)

        async def create() -> Any:
            async with running.front.assistant(mode=mode) as someone:
                return await someone.ask("create_pool", pool_name="slow", slots=1)

        call = asyncio.create_task(create())
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        ending = running.sender(running.airflow.last("POST", "/pools"))
        ending.process.send_signal(signal.SIGTERM)
        port = urlsplit(ending.url).port
        assert port
        while await asyncio.to_thread(listens, port):
            pass
        async with running.front.assistant(mode=mode) as someone:  # the others take what is new
            assert (await someone.ask("get_dag", dag_id="etl"))["dag_id"] == "etl"
        finish.set()
        assert (await call)["name"] == "slow"
        assert running.made() == ["slow"]
        await asyncio.to_thread(ending.process.wait, PATIENCE)


async def test_without_redis_changes_are_refused_and_reads_go_on_until_it_is_back(tmp_path: Path) -> None:
    with fleet(tmp_path) as running:
        async with running.front.assistant() as someone:
            plan = (await someone.ask("delete_pool", pool_name="small"))["plan"]
            running.store.stop()
            for tool, arguments in (
                ("delete_pool", {"pool_name": "small", "plan": plan}),
                ("create_pool", {"pool_name": "new", "slots": 1}),
            ):
                sentence = await someone.refused(tool, **arguments)
                assert sentence.startswith("Nothing was done: what replicas share is not to be had (Redis")
                assert PASSWORD not in sentence
            assert (await someone.ask("get_dag", dag_id="etl"))["dag_id"] == "etl"
            assert (running.deleted(), running.made()) == (0, [])
            running.store.start()
            for _ in running.replicas:
                await someone.ask("create_pool", pool_name="new", slots=1)
            assert (await someone.ask("delete_pool", pool_name="small", plan=plan))["done"] is True
        assert PASSWORD not in "".join(one.stderr for one in running.replicas)
        assert PASSWORD not in (tmp_path / "audit.jsonl").read_text()


async def test_a_limited_read_is_refused_without_redis(tmp_path: Path) -> None:
    with fleet(tmp_path, config="[policy.per_minute]\nread = 9\n") as running:
        async with running.front.assistant() as someone:
            await someone.ask("get_dag", dag_id="etl")
            running.store.stop()
            assert "what replicas share is not to be had" in await someone.refused("get_dag", dag_id="etl")
