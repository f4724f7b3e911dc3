"""Headers of a request may take from its caller's permissions, and never add to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import MCPError

from tests.http.serving import Served, serving
from tests.unit.assistant import ERAS
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
READS = {"X-Airflow-MCP-Read-Only": "true"}


@pytest.mark.parametrize("mode", ERAS)
async def test_reads_only_means_that_nothing_is_changed(server: Served, mode: str) -> None:
    async with server.assistant("token-of-alice", mode=mode, headers=READS) as alice:
        assert not {"pause_dag", "create_pool", "delete_pool", "call_changing_tool"} & set(await alice.tools())
        assert "X-Airflow-MCP-Read-Only" in await alice.refused("pause_dag", dag_id="etl")
        arguments = {"tool": "pause_dag", "arguments": {"dag_id": "etl"}}
        assert "X-Airflow-MCP-Read-Only" in await alice.refused("call_changing_tool", **arguments)
        assert (await alice.ask("list_dags"))["total"] == 2


@pytest.mark.parametrize("mode", ERAS)
async def test_toolsets_narrow_the_list_and_what_may_be_called(server: Served, mode: str) -> None:
    async with server.assistant("token-of-alice", mode=mode, headers={"X-Airflow-MCP-Toolsets": "pools"}) as alice:
        tools = set(await alice.tools())
        assert {"list_pools", "delete_pool"} <= tools
        assert not {"list_dags", "pause_dag"} & tools
        assert "X-Airflow-MCP-Toolsets" in await alice.refused("list_dags")


async def test_no_header_gives_what_the_rules_do_not(server: Served) -> None:
    headers = {"X-Airflow-MCP-Read-Only": "false", "X-Airflow-MCP-Toolsets": "pools, dags"}
    async with server.assistant("token-of-bob", headers=headers) as bob:
        assert "delete_pool is not allowed here" in await bob.refused("delete_pool", pool_name="small")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("X-Airflow-MCP-Read-Only", "maybe", "must be true or false"),
        ("X-Airflow-MCP-Read-Only", "", "must be true or false, not an empty value"),
        ("X-Airflow-MCP-Instance", "", "an empty value is not among"),
        ("X_Airflow_MCP_Read_Only", "true", "x_airflow_mcp_read_only means nothing here"),
        ("X-Airflow_MCP-Read-Only", "true", "means nothing here"),
        ("X.Airflow.MCP.Toolsets", "pools", "with hyphens"),
        ("Airflow-MCP-Read-Only", "true", "means nothing here"),
        ("X-Airflow-MCP-Toolsets", "pools," * 400, "has more than 2000 characters"),
        ("X_Airflow_Token", "one", "is not taken here"),
        ("X-Airflow-MCP-Toolsets", "pols", "pols is not among"),
        ("X-Airflow-MCP-Toolsets", "", "an empty value is not among"),
        ("X-Airflow-MCP-Instance", "prod", "prod is not among default"),
    ],
)
def test_a_narrowing_that_means_nothing_is_refused(server: Served, name: str, value: str, words: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"Accept": "application/json, text/event-stream", "Authorization": "Bearer token-of-alice", name: value}
    answer = server.request("POST", "/mcp", json=body, headers=headers)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("mode", ERAS)
async def test_one_of_several_airflows_looks_like_the_only_one(airflow: FakeAirflow, tmp_path: Path, mode: str) -> None:
    config = "".join(f'[instances.{name}]\nurl = "{airflow.url}"\ntoken = "t"\n' for name in ("prod", "staging"))
    with serving(airflow, tmp_path, config=config) as served:
        async with served.assistant(mode=mode) as everyone:
            assert (await everyone.ask("get_dag", dag_id="etl", instance="prod"))["instance"] == "prod"
        async with served.assistant(mode=mode, headers={"X-Airflow-MCP-Instance": "staging"}) as one:
            listed = {tool.name: tool.input_schema for tool in (await one.client.list_tools()).tools}
            assert "instance" not in listed["list_dags"]["properties"]
            assert (await one.ask("get_dag", dag_id="etl"))["dag_id"] == "etl"
            assert "instance" in await one.refused("get_dag", dag_id="etl", instance="prod")
            with pytest.raises(MCPError, match="There is no Airflow 'prod' here"):
                await one.client.read_resource("airflow://prod/dags/etl")
