"""The right tool comes first for at least 90 of 100 plain questions, and is among the first five for all."""

from __future__ import annotations

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.versions import Version
from tests.find.questions import QUESTIONS
from tests.unit.assistant import assistant
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
FIRST = 90


async def names_found(question: str, tool: str) -> list[str]:
    """The names in the answer to whoever may use everything, best first, on an Airflow that has the tool."""
    newest = CATALOG.tools[tool].entry.since.has(Version(3, 3))
    async with assistant(FakeAirflow("3.3.2" if newest else "3.0.6"), allow=("*", "@admin")) as someone:
        answer = await someone.ask("find_tools", query=question)
    return [line.partition(" ")[0] for line in answer["tools"]]


def test_there_are_a_hundred_questions_each_about_another_tool() -> None:
    assert len({question for question, _ in QUESTIONS}) == len({tool for _, tool in QUESTIONS}) == 100


@pytest.mark.parametrize(("question", "tool"), QUESTIONS, ids=[tool for _, tool in QUESTIONS])
def test_a_question_does_not_just_repeat_the_tools_name(question: str, tool: str) -> None:
    assert tool.replace("_", " ") not in question.lower()


@pytest.mark.parametrize(("question", "tool"), QUESTIONS, ids=[tool for _, tool in QUESTIONS])
async def test_the_right_tool_is_among_the_first_five(question: str, tool: str) -> None:
    assert tool in (await names_found(question, tool))[:5]


async def test_the_right_tool_comes_first_for_at_least_ninety() -> None:
    found = {question: (tool, (await names_found(question, tool))[:1]) for question, tool in QUESTIONS}
    wrong = {question: pair for question, pair in found.items() if pair[1] != [pair[0]]}
    assert len(QUESTIONS) - len(wrong) >= FIRST, wrong
