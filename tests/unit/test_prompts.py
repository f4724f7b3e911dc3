"""Prompts name our tools and real arguments, and what is wrong with a prompt's arguments is said in words."""

from __future__ import annotations

import json
import re

import pytest
from mcp import MCPError
from mcp.types import INVALID_PARAMS, PromptReference, TextContent

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.schema import validate
from tests.unit.assistant import ERAS, Assistant, assistant
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.samples import dag, page

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
CALLS = [  # a prompt, its arguments, and what it must say
    ("diagnose_failure", {"dag_id": "etl"}, '`diagnose_dag_run` with {"dag_id": "etl"}'),
    ("diagnose_failure", {"dag_id": "größe", "dag_run_id": 'r "1"'}, '{"dag_id": "größe", "dag_run_id": "r \\"1\\""}'),
    ("morning_report", {}, "in the last 14 hours"),
    ("morning_report", {"hours": "3"}, '`health_report` with {"hours": 3}'),
    ("review_dag", {"dag_id": "etl"}, '`get_dag_overview` with {"dag_id": "etl"}'),
]


async def text(someone: Assistant, name: str, arguments: dict[str, str]) -> str:
    (message,) = (await someone.client.get_prompt(name, arguments)).messages
    assert message.role == "user"
    assert isinstance(message.content, TextContent)
    return message.content.text


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(("name", "arguments", "words"), CALLS)
async def test_a_prompt_is_one_instruction_with_its_arguments_in_place(
    mode: str, name: str, arguments: dict[str, str], words: str
) -> None:
    airflow = FakeAirflow()
    async with assistant(airflow, mode=mode) as someone:
        said = await text(someone, name, arguments)
    assert words in said
    assert len(said) < 1500
    assert airflow.seen == []


@pytest.mark.parametrize(("name", "arguments", "words"), CALLS)
async def test_a_prompt_names_tools_that_exist_and_arguments_that_they_take(
    name: str, arguments: dict[str, str], words: str
) -> None:
    async with assistant(FakeAirflow()) as someone:
        said = await text(someone, name, arguments)
    named = set(re.findall(r"`(\w+)`", said))
    assert named
    assert named <= CATALOG.tools.keys()
    assert {CATALOG.tools[tool].entry.access for tool in named} == {"read"}
    for tool, given in re.findall(r"`(\w+)` with ({.*?})(?=[.:,\n])", said):
        validate(CATALOG.tools[tool], json.loads(given), CATALOG)


@pytest.mark.parametrize("mode", ERAS)
async def test_the_prompts_are_listed_with_what_their_arguments_mean(mode: str) -> None:
    async with assistant(FakeAirflow(), mode=mode) as someone:
        listed = {prompt.name: prompt for prompt in (await someone.client.list_prompts()).prompts}
    assert set(listed) == {name for name, _, _ in CALLS}
    required = {name: [one.name for one in prompt.arguments or [] if one.required] for name, prompt in listed.items()}
    assert required == {"diagnose_failure": ["dag_id"], "morning_report": [], "review_dag": ["dag_id"]}
    for prompt in listed.values():
        assert prompt.title
        assert prompt.description
        assert all(argument.description for argument in prompt.arguments or [])


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("diagnose", {}, "Unknown prompt: diagnose. There are diagnose_failure, morning_report, review_dag."),
        ("diagnose_failure", {}, "diagnose_failure: dag_id is required."),
        ("review_dag", {"dag_id": ""}, "review_dag: dag_id is required."),
        ("review_dag", {"dag_id": "etl", "dag": "x"}, "review_dag: unknown argument 'dag'; it takes dag_id."),
        ("morning_report", {"hours": "many"}, "hours must be a whole number from 1 to 744, not 'many'."),
        ("morning_report", {"hours": "0"}, "not '0'"),
        ("morning_report", {"hours": "²"}, "not '²'"),
    ],
)
async def test_what_is_wrong_with_a_prompt_is_said(mode: str, name: str, arguments: dict[str, str], words: str) -> None:
    async with assistant(FakeAirflow(), mode=mode) as someone:
        with pytest.raises(MCPError) as caught:
            await someone.client.get_prompt(name, arguments)
    assert caught.value.code == INVALID_PARAMS
    assert words in caught.value.message


async def test_the_dag_of_a_prompt_is_completed() -> None:
    airflow = FakeAirflow().on("GET", "/dags", page("dags", [dag(dag_id="my_etl"), dag(dag_id="etl")]))
    async with assistant(airflow) as someone:
        ref = PromptReference(type="ref/prompt", name="review_dag")
        found = await someone.client.complete(ref, {"name": "dag_id", "value": "etl"})
    assert found.completion.values == ["etl", "my_etl"]
