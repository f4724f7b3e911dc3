"""A thousand callers while Airflow is slow, fails and breaks connections: each gets an answer or a clear refusal."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.load.airflow import Fault, Faults, none_of_them
from tests.load.conftest import Standing
from tests.load.crowd import one_call, prepared
from tests.load.wire import message

pytestmark = pytest.mark.anyio
CALLERS = 1000
AT_ONCE = 8  # requests that an Airflow gets from us
READY = message("GET /readyz HTTP/1.1", {"Host": "127.0.0.1"})
READ_NOTHING = prepared("find_tools", {"query": "pause"})  # asks Airflow for nothing
REFUSALS = ("broke the connection", "Something went wrong", "no turn came within")


def storm(seed: int) -> Faults:
    """One request in eight goes wrong, and one in eight is slow."""
    dice = random.Random(seed)
    wrong = [Fault.FAILS, Fault.BEFORE, Fault.AFTER, Fault.IN_REPLY, Fault.TRUNCATED]
    return lambda method, path: dice.choice([*wrong, *[Fault.SLOW] * 5, *[None] * 30])


def call(number: int) -> bytes:
    return prepared("get_dag", {"dag_id": f"dag_{number}"})


async def test_a_thousand_callers_in_a_storm_get_an_answer_or_a_clear_refusal(standing: Standing) -> None:
    async with standing(http_max_calls=str(CALLERS)) as (airflow, served):
        airflow.faults, airflow.expires_every = storm(seed=6), 300
        answers = await asyncio.gather(*(one_call(served.url, call(number)) for number in range(CALLERS)))
        told = Counter[str]()
        for number, answer in enumerate(answers):
            assert answer.status == 200
            if answer.succeeded:
                assert answer.result["dag_id"] == f"dag_{number}"
            else:
                told[answer.words] += 1
        assert [words for words in told if not any(known in words for known in REFUSALS)] == []
        assert told.total() < CALLERS / 10, "most faults of a read are overcome by asking again"
        assert 1 < airflow.most_in_flight <= AT_ONCE
        assert airflow.expired > 0
        assert airflow.logins == 1 + airflow.expired

        airflow.faults, airflow.expires_every = none_of_them, 0
        assert (await one_call(served.url, call(0))).result["dag_id"] == "dag_0"
        assert (await one_call(served.url, READY)).status == 200
        assert "Traceback" not in served.stderr


async def test_callers_beyond_the_limit_are_told_when_to_come_back(standing: Standing) -> None:
    async with standing(http_max_calls="50") as (airflow, served):
        airflow.faults = lambda method, path: Fault.HELD
        inside = [asyncio.create_task(one_call(served.url, call(number))) for number in range(50)]
        await airflow.until(lambda: airflow.held == AT_ONCE)
        while (refused := await one_call(served.url, READ_NOTHING)).status == 200:
            pass  # the last of the fifty are still on their way in
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "50 requests at once" in refused.words
        airflow.release.set()
        assert all(answer.succeeded for answer in await asyncio.gather(*inside))
        assert airflow.most_in_flight == AT_ONCE
        assert (await one_call(served.url, call(50))).succeeded


async def test_who_waits_for_a_busy_airflow_is_told_so_in_time(standing: Standing) -> None:
    async with standing(timeout="1") as (airflow, served):
        assert (await one_call(served.url, call(0))).succeeded
        airflow.faults = lambda method, path: Fault.HELD
        answers = await asyncio.gather(*(one_call(served.url, call(number)) for number in range(40)))
        words = [answer.words for answer in answers]
        assert sum("gave no answer within 1 seconds" in one for one in words) == AT_ONCE
        assert sum("no turn came within 1 seconds. Nothing was sent" in one for one in words) == 40 - AT_ONCE
        airflow.faults = none_of_them
        assert (await one_call(served.url, call(0))).succeeded


async def test_an_airflow_that_is_not_there_is_asked_for_its_version_once_by_all_who_wait(standing: Standing) -> None:
    async with standing(url="http://127.0.0.1:9") as (_, served):
        answers = await asyncio.gather(*(one_call(served.url, call(number)) for number in range(100)))
        assert all("cannot be reached" in answer.words for answer in answers)


async def test_an_expired_token_is_renewed_by_one_login_however_many_call(standing: Standing) -> None:
    async with standing(http_max_calls="300") as (airflow, served):
        assert (await one_call(served.url, call(0))).succeeded
        airflow.expire()
        answers = await asyncio.gather(*(one_call(served.url, call(number)) for number in range(300)))
        assert all(answer.succeeded for answer in answers)
        assert airflow.logins == 2
