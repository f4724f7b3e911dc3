"""What one report asks of Airflow at once, and what it answers where Airflow is slow."""

from __future__ import annotations

from typing import Any

import anyio.lowlevel
import pytest

from tests.unit.assistant import Clock, assistant
from tests.unit.fake_airflow import FakeAirflow, Sent
from tests.unit.test_health_report import World, failed

pytestmark = pytest.mark.anyio
Json = dict[str, Any]


class Crowd(FakeAirflow):
    """Counts the requests under way; each takes this many seconds of the clock."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__("3.3.2")
        self.clock, self.seconds = clock, seconds
        self.under_way: list[int] = []
        self._now = 0

    async def _reply(self, sent: Sent, key: str, missing: Any) -> Any:
        self._now += 1
        self.under_way.append(self._now)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        self.clock.wait(self.seconds)
        self._now -= 1
        return await super()._reply(sent, key, missing)


async def report(seconds: float) -> tuple[Json, list[int]]:
    """A report of an Airflow with twelve failures whose every answer takes that long."""
    clock = Clock()
    world = World()
    crowd = Crowd(clock, seconds)
    crowd._replies = world.airflow._replies  # pyright: ignore[reportPrivateUsage]
    world.fails(*(failed(f"dag{number}") for number in range(12)))
    for number in range(12):
        world.log(f"dag{number}", "KeyError", f"'{number}'")
    async with assistant(crowd, clock=clock) as someone:
        answer = await someone.ask("health_report", max_chars=20_000)
    return answer, crowd.under_way


async def test_at_most_four_requests_are_under_way_and_fewer_where_answers_are_slow() -> None:
    _, quick = await report(0.001)
    _, slow = await report(2.5)
    assert 2 <= max(quick) <= 4
    assert max(slow[8:]) < max(quick)


async def test_a_slow_airflow_gives_a_part_of_the_report_and_says_what_is_missing() -> None:
    answer, under_way = await report(9.0)
    assert len(under_way) < 20
    assert any("too slow for the 60 s" in line for line in answer["not_seen"]) or answer["failures"]["not_looked_at"]
