"""A server process whose Airflow answers what no JSON has: over each transport it lives on and answers the next."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.http.serving import environment_of, serving
from tests.http.upstream import upstream
from tests.unit.assistant import ERAS, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply

pytestmark = pytest.mark.anyio
POOL = '{"name":"small","slots":%s}'
STRANGE = [
    '{"name":"a\\ud800b","slots":3}',
    POOL % "NaN",
    POOL % "-Infinity",
    POOL % ("[" * 1_000 + "]" * 1_000),
    '{"name":"k","\\udfff":{"\\ud800":1}}',
]


@pytest.fixture
def airflow() -> Generator[FakeAirflow]:
    plain = Reply(200, (POOL % 3).encode())
    replies = [reply for body in STRANGE for reply in (Reply(200, body.encode()), plain)]
    with upstream(FakeAirflow("3.3.2").on("GET", "/pools/small", *replies)) as served:
        yield served


async def ask_for_all(client: Client) -> None:
    """Each strange answer is told in words or JSON, and the call after it is answered as ever."""
    for body in STRANGE:
        strange = await client.call_tool("get_pool", {"pool_name": "small", "fields": ["*"]})
        assert text_of(strange), body[:100]
        assert strange.is_error or json.loads(text_of(strange)), body[:100]
        plain = await client.call_tool("get_pool", {"pool_name": "small"})
        assert json.loads(text_of(plain)) == {"name": "small", "slots": 3}


@pytest.mark.parametrize("mode", ERAS)
async def test_server_over_stdio_outlives_strange_answers(airflow: FakeAirflow, tmp_path: Path, mode: str) -> None:
    environment = environment_of(airflow, tmp_path, "", {})
    process = StdioServerParameters(command=sys.executable, args=["-m", "airflow_mcp"], env=environment)
    async with Client(stdio_client(process), mode=mode) as client:
        await ask_for_all(client)


@pytest.mark.parametrize("mode", ERAS)
async def test_server_over_http_outlives_strange_answers(airflow: FakeAirflow, tmp_path: Path, mode: str) -> None:
    with serving(airflow, tmp_path) as served:
        async with served.assistant(mode=mode) as someone:
            await ask_for_all(someone.client)
