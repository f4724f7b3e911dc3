"""Memory and Redis against one small model of what was used and who called: all three give the same answers."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mcp.dispatch.safety.plan_tokens import InMemoryPlanStore
from airflow_mcp.dispatch.safety.rate_limits import WINDOW, InMemoryCallCounter
from airflow_mcp.dispatch.safety.redis_store import RedisStore
from tests.services.processes import Store, redis

PLANS = st.sampled_from(["one", "two", "drei-\ud800"])
CLAIMS = st.lists(st.tuples(st.booleans(), PLANS), max_size=30)
QUARTERS = st.integers(0, 200)  # of a second, between two calls
CALLS = st.lists(st.tuples(QUARTERS, st.sampled_from(["ann", "bob"]), st.booleans()), min_size=1, max_size=40)


class Clock:
    """Seconds that pass when a test says so; quarters, so that every sum is exact."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Generator[Store]:
    with redis(Path(tmp_path_factory.mktemp("redis"))) as running:
        yield running


@settings(max_examples=60, deadline=None, database=None)
@given(CLAIMS)
def test_a_claim_succeeds_while_no_other_is_held(store: Store, steps: list[tuple[bool, str]]) -> None:
    run = uuid4().hex

    async def play() -> None:
        memory, shared, model = InMemoryPlanStore(), RedisStore(store.url), set[str]()
        for claims, name in steps:
            plan = f"{run} {name}"
            if not claims:
                model.discard(plan)
                await memory.release(plan)
                await shared.release(plan)
                continue
            free = plan not in model
            model.add(plan)
            assert (await memory.claim(plan, 60), await shared.claim(plan, 60)) == (free, free)
        await shared.aclose()

    anyio.run(play)


@settings(max_examples=60, deadline=None, database=None)
@given(CALLS, st.integers(1, 5))
def test_a_call_fits_when_the_last_minute_has_room(
    store: Store, steps: list[tuple[int, str, bool]], limit: int
) -> None:
    run = uuid4().hex

    async def play() -> None:
        clock, model = Clock(), list[tuple[str, float]]()
        memory, shared = InMemoryCallCounter(clock), RedisStore(store.url, clock)
        for pause, caller, count in steps:
            clock.now += pause / 4
            recent = [then for who, then in model if who == caller and then > clock.now - WINDOW]
            due = recent[0] + WINDOW - clock.now if len(recent) >= limit else 0.0
            if count and not due:
                model.append((caller, clock.now))
            whose = f"{run} {caller}"
            assert await memory.wait(whose, limit, count=count) == due
            assert await shared.wait(whose, limit, count=count) == due
        await shared.aclose()

    anyio.run(play)


def test_of_calls_at_once_as_many_are_counted_as_fit(store: Store) -> None:
    whose, waits = uuid4().hex, list[float]()

    async def play() -> None:
        several = [RedisStore(store.url) for _ in range(4)]

        async def call(one: RedisStore) -> None:
            waits.append(await one.wait(whose, 5, count=True))

        async with anyio.create_task_group() as group:
            for one in several * 5:
                group.start_soon(call, one)
        for one in several:
            await one.aclose()

    anyio.run(play)
    assert waits.count(0.0) == 5
    assert all(0 < wait <= WINDOW for wait in waits if wait)


def test_a_claim_is_forgotten_in_time_and_names_nothing(store: Store) -> None:
    async def play() -> None:
        shared = RedisStore(store.url)
        await shared.claim("a-plan-of-payroll", 660)
        await shared.aclose()

    with store.client() as eyes:
        eyes.flushall()
        anyio.run(play)
        (key,) = list[str](eyes.scan_iter())
        assert 0 < int(str(eyes.ttl(key))) <= 660
        assert "payroll" not in f"{key}{eyes.get(key)}"
