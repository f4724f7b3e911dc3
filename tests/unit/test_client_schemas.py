"""Every schema that is listed is one that every client takes, on each Airflow and with one or several of them."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import Client

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.schema import build_input_schema
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.server.app import AirflowServer
from tests.unit.assistant import GENERATIONS, open_door
from tests.unit.client_rules import RULES, Rule, schemas
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()


async def listed(version: str, *, instances: int = 1) -> list[Any]:
    """Every tool as it is listed where everything is allowed."""
    dispatchers = {
        f"airflow-{number}": open_door(FakeAirflow(version), allow=("*", "@admin")) for number in range(instances)
    }
    async with Client(AirflowServer(Instances(dispatchers), parse_toolsets(("all",), CATALOG))) as client:
        return (await client.list_tools()).tools


@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize("version", [*GENERATIONS, "3.0.6"])
async def test_no_client_refuses_a_schema(version: str, instances: int) -> None:
    tools = await listed(version, instances=instances)
    assert len(tools) > 60
    broken = [f"{tool.name}: {rule.client}: {one}" for tool in tools for rule in RULES for one in rule.check(tool)]
    assert broken == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.client}-{rule.check.__name__}")
async def test_each_rule_finds_a_schema_that_breaks_it(rule: Rule) -> None:
    (tool, *_) = await listed("3.3.2")
    broken = {
        "anyOf": [{"oneOf": [], "type": "array", "items": {"enum": [1]}}, {"type": ["string", "null"]}],
        "properties": {"a name with spaces": {"type": "array"}},
        "required": ["nowhere"],
        "prefixItems": [{}],
    }
    bad = tool.model_copy(update={"name": "x" * 64, "description": "y" * 2_000, "input_schema": broken})
    assert list(rule.check(bad))


async def test_what_the_listed_schema_takes_is_at_least_what_is_accepted() -> None:
    """An argument that validation takes must pass the client's own check before."""
    tools = {tool.name: tool for tool in await listed("3.3.2")}
    for arguments in ({"task_ids": ["a", ["b", 3]]}, {"task_ids": ["a"]}):
        call = {"dag_id": "etl", "dag_run_id": "r"} | arguments
        for schema in (
            build_input_schema(CATALOG.tools["clear_task_instances"], CATALOG),
            tools["clear_task_instances"].input_schema,
        ):
            Draft202012Validator(schema).validate(call)
    assert all("prefixItems" not in schema for tool in tools.values() for _, schema in schemas(tool.input_schema))
