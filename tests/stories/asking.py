"""An assistant in front of one seeded Airflow, in process, and what it costs: calls, characters, requests."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
from mcp import Client, MCPError
from mcp.types import CallToolResult, TextContent

from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.credentials import Credentials
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.dispatcher import Dispatcher
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.policy.rules import Policy
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.workflows import load_workflows
from tests.e2e.harness import Json, Site, text_of

CEILING = 100_000


@dataclass
class Cost:
    """What a question cost: calls of tools, characters a model reads, requests to Airflow and the most at once."""

    calls: int = 0
    characters: int = 0
    requests: int = 0
    at_once: int = 0


class Counting(httpx2.AsyncBaseTransport):
    """Real requests, each counted until its response is closed."""

    def __init__(self) -> None:
        self.cost = Cost()
        self._inner = httpx2.AsyncHTTPTransport()
        self._open = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it on."""
        self._open += 1
        self.cost.requests += 1
        self.cost.at_once = max(self.cost.at_once, self._open)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException:
            self._open -= 1
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Watched(response.stream, self)
        return response

    def closed(self) -> None:
        """A response has been read."""
        self._open -= 1

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Watched(httpx2.AsyncByteStream):
    """A response's body that says when it is closed."""

    def __init__(self, stream: httpx2.AsyncByteStream, counting: Counting) -> None:
        self._stream = stream
        self._counting = counting
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
        if not self._closed:
            self._closed = True
            self._counting.closed()


class Asker:
    """Calls tools as a model would, and adds up what that costs."""

    def __init__(self, client: Client, counting: Counting, site: Site) -> None:
        self.site = site
        self._client = client
        self._counting = counting

    def begin(self) -> Cost:
        """Count anew; the result grows with every call from now on."""
        self._counting.cost = Cost()
        return self._counting.cost

    async def result(self, tool: str, arguments: Json) -> CallToolResult:
        """A call's result, an error or not."""
        try:
            result = await self._client.call_tool(tool, arguments)
        except MCPError as error:  # there is no such tool
            result = CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)
        self._counting.cost.calls += 1
        self._counting.cost.characters += len(text_of(result))
        return result

    async def ask(self, tool: str, /, **arguments: Any) -> Json:
        """The answer of a call that must succeed."""
        result = await self.result(tool, arguments)
        assert not result.is_error, f"{tool} {arguments} was refused: {text_of(result)}"
        assert result.structured_content is not None
        return result.structured_content

    async def pages(self, tool: str, /, **arguments: Any) -> list[Json]:
        """All rows of a list, page by page."""
        rows: list[Json] = []
        more: Json | None = {}
        while more is not None:
            answer = await self.ask(tool, **arguments, **more)
            rows += [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
            more = answer.get("more")
        return rows

    async def log(self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int | None = None) -> str:
        """A whole log as Airflow sends it: what a tool that only forwards it gives a model to read."""
        place = "/".join(quote(part, safe="") for part in ("dags", dag_id, "dagRuns", run_id, "taskInstances", task_id))
        index = "" if map_index is None or map_index < 0 else f"&map_index={map_index}"
        answer = self.site.held(f"/{place}/logs/{try_number}?full_content=true{index}")
        text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
        self._counting.cost.calls += 1
        self._counting.cost.requests += 1
        self._counting.cost.characters += len(text)
        return text


@asynccontextmanager
async def asking(site: Site) -> AsyncGenerator[Asker]:
    """An asker who may read everything on this Airflow, logged in."""
    counting = Counting()
    catalog = load_catalog()
    airflow = site.airflow
    credentials = Credentials(username=airflow.username, password=airflow.password)
    airflow_client = AirflowClient(airflow.url, credentials, transport=counting)
    dispatcher = Dispatcher(catalog, Policy(), airflow_client, load_workflows, ceiling=CEILING)
    async with Client(AirflowServer(Instances({"default": dispatcher}), catalog.toolsets)) as client:
        asker = Asker(client, counting, site)
        await asker.ask("list_dags", limit=1)
        yield asker
