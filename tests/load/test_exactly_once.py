"""Connections break before, in and after a change: it happens once, and whoever asked for it is told what is known."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter

import pytest

from tests.load.airflow import Fault
from tests.load.conftest import Standing
from tests.load.crowd import Answer, one_call, prepared

pytestmark = pytest.mark.anyio
TRIGGERS = 60
TRIES = 20
OUR_RUN_ID = re.compile(r"mcp__\w+")
CHANGES = 'allow = ["trigger_dag_run", "pause_dag"]\n'


def trigger(number: int, **more: str) -> bytes:
    return prepared("trigger_dag_run", {"dag_id": "etl", "conf": {"number": number}, **more})


async def until_it_is_there(url: str, number: int, chosen: str) -> Answer:
    """What a persistent model does: call again, with the dag_run_id that it chose or that an error has named."""
    run_id, tries = chosen, 0
    while True:
        answer = await one_call(url, trigger(number, **({"dag_run_id": run_id} if run_id else {})))
        tries += 1
        if answer.succeeded or "already exists" in answer.words or tries == TRIES:
            return answer
        found = OUR_RUN_ID.search(answer.words)
        run_id = run_id or (found[0] if found else "")


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("chooses", [False, True], ids=["our run id", "the caller's run id"])
async def test_each_trigger_starts_one_run_wherever_the_connection_breaks(
    standing: Standing, seed: int, chooses: bool
) -> None:
    dice = random.Random(seed)
    breaks = [Fault.BEFORE, Fault.IN_BODY, Fault.FAILS, Fault.AFTER, Fault.IN_REPLY, Fault.TRUNCATED]

    def faults(method: str, path: str) -> Fault | None:
        if method == "POST":
            return dice.choice([*breaks, None, None])
        return dice.choice([*breaks, *[None] * 20]) if "/dagRuns/" in path else None

    async with standing(config=CHANGES) as (airflow, served):
        airflow.faults = faults
        names = [f"mine_{number}" if chooses else "" for number in range(TRIGGERS)]
        answers = await asyncio.gather(
            *(until_it_is_there(served.url, number, name) for number, name in enumerate(names))
        )
        made = Counter(conf["number"] for conf in airflow.runs.values())
        assert made == dict.fromkeys(range(TRIGGERS), 1)
        assert all(answer.succeeded or "already exists" in answer.words for answer in answers)


@pytest.mark.parametrize("fault", [Fault.IN_BODY, Fault.AFTER, Fault.IN_REPLY, Fault.TRUNCATED])
async def test_a_change_that_may_have_been_received_is_not_repeated_and_said_to_be_in_doubt(
    standing: Standing, fault: Fault
) -> None:
    async with standing(config=CHANGES) as (airflow, served):
        patches: list[str] = []

        def faults(method: str, path: str) -> Fault | None:
            if method == "PATCH":
                patches.append(path)
            return fault if method == "PATCH" else None

        airflow.faults = faults
        answer = await one_call(served.url, prepared("pause_dag", {"dag_id": "etl"}))
        assert "pause_dag has not happened so far" in answer.words
        assert "look again before you repeat it" in answer.words
        assert patches == ["/dags/etl"]


async def test_a_lost_answer_about_a_run_that_is_there_is_an_answer(standing: Standing) -> None:
    async with standing(config=CHANGES) as (airflow, served):
        airflow.faults = lambda method, path: Fault.AFTER if method == "POST" else None
        answer = await one_call(served.url, trigger(1))
        assert answer.result["dag_run_id"] in airflow.runs


async def test_where_even_looking_fails_the_run_id_to_call_again_with_is_named(standing: Standing) -> None:
    async with standing(config=CHANGES) as (airflow, served):
        airflow.faults = lambda method, path: Fault.AFTER if "/dagRuns" in path else None
        words = (await one_call(served.url, trigger(1))).words
        assert f"Calling again with dag_run_id '{next(iter(airflow.runs))}' is safe" in words
        assert "may or may not have happened" in words
