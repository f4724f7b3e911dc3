"""What is remembered in Redis and what one process remembers alone answer alike."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import aclosing

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mcp.tools.plan import UsedInMemory
from airflow_mcp.tools.rates import CallsInMemory
from airflow_mcp.tools.shared import SharedMemory
from tests.services.processes import Store, redis

NAMES = st.sampled_from(["one", "other", "write ann", "Zoë:\n*", ""])
steady = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Generator[Store]:
    with redis(tmp_path_factory.mktemp("store")) as running:
        yield running


@steady
@given(st.lists(st.tuples(st.sampled_from(["claim", "release"]), NAMES), max_size=30))
def test_a_plan_is_claimed_once_until_it_is_given_back(store: Store, steps: list[tuple[str, str]]) -> None:
    async def play() -> None:
        alone, own = UsedInMemory(), secrets.token_hex(8)
        async with aclosing(SharedMemory(store.url)) as shared:
            for word, name in steps:
                key = f"{own} {name}"
                if word == "claim":
                    assert await shared.claim(key, 60) == await alone.claim(key, 60)
                else:
                    await shared.release(key)
                    await alone.release(key)

    anyio.run(play)


@steady
@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=30), st.integers(1, 6))
def test_calls_of_one_moment_are_counted_alike(store: Store, calls: list[tuple[str, bool]], limit: int) -> None:
    async def play() -> None:
        alone, own = CallsInMemory(lambda: 0.0), secrets.token_hex(8)
        async with aclosing(SharedMemory(store.url)) as shared:
            for name, count in calls:
                key = f"{own} {name}"
                told, known = await shared.wait(key, limit, count=count), await alone.wait(key, limit, count=count)
                assert (told > 0) == (known > 0)
                assert 0 <= told <= 60

    anyio.run(play)


def test_of_many_calls_at_once_no_more_are_let_through_than_the_limit(store: Store) -> None:
    async def play() -> None:
        through = list[bool]()

        async def call(shared: SharedMemory) -> None:
            through.append(await shared.wait("rush", 7, count=True) == 0)

        async with aclosing(SharedMemory(store.url)) as shared, anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call, shared)
        assert sum(through) == 7

    anyio.run(play)


def test_redis_holds_no_name_in_clear_and_nothing_for_ever(store: Store) -> None:
    async def play() -> None:
        async with aclosing(SharedMemory(store.url)) as shared:
            await shared.claim("plan-of-zoe", 60)
            await shared.wait("write zoe", 5, count=True)

    anyio.run(play)
    with store.client() as client:
        keys = [key.decode() for key in client.scan_iter("*")]
        assert keys
        assert not [key for key in keys if "zoe" in key or not key.startswith("airflow-mcp:")]
        assert [key for key in keys if client.ttl(key) in (-1, -2)] == []
