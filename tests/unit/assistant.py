"""An assistant as the server meets it: a real MCP client in memory, and the words a test says through it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from anyio.from_thread import start_blocking_portal
from mcp import Client
from mcp.types import CallToolResult, TextContent

from airflow_mcp.airflow.caller_clients import Clients
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.credentials import Credentials
from airflow_mcp.catalog.loader import Catalog, load_catalog
from airflow_mcp.dispatch.call import Call, SizeLimits
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.dispatcher import Dispatcher
from airflow_mcp.dispatch.operations.executor import OperationExecutor
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.dispatch.safety.audit import AuditRecord
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.policy.decision import ParentCall
from airflow_mcp.policy.effects import derive_effects
from airflow_mcp.policy.rules import Policy, parse_policy
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.workflows import load_workflows
from tests.unit.advice import check_advice
from tests.unit.fake_airflow import FakeAirflow

Json = dict[str, Any]
ERAS = ("auto", "legacy")  # the protocol of 2026-07-28, and the one before it with its handshake
GENERATIONS = ("2.11.2", "3.3.2")
A_TOKEN = Credentials(token="a-token-of-the-operator")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let this time pass."""
        self.now += seconds


class Assistant:
    """Calls tools; a test says beforehand whether it expects an answer or a refusal."""

    def __init__(self, client: Client, instances: Instances | None = None, airflow: FakeAirflow | None = None) -> None:
        """With the one Airflow behind the server, what is advised must be right there."""
        self.client = client
        self.instances = instances
        self._airflow = airflow

    async def ask(self, tool: str, /, **arguments: Any) -> Json:
        """The answer of a call that works."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, text_of(result)
        assert result.structured_content is not None
        check_advice(result.structured_content, self._airflow.version if self._airflow else "")
        return result.structured_content

    async def refused(self, tool: str, /, **arguments: Any) -> str:
        """The sentence of a call that does not."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, f"{tool} answered {text_of(result)[:500]}"
        check_advice(result.structured_content, self._airflow.version if self._airflow else "")
        return text_of(result)

    async def tools(self) -> list[str]:
        """The names that are listed."""
        return [tool.name for tool in (await self.client.list_tools()).tools]


def text_of(result: CallToolResult) -> str:
    """The text a result shows."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def open_door(
    airflow: FakeAirflow,
    *,
    allow: tuple[str, ...] = (),
    deny: tuple[str, ...] = (),
    credentials: Credentials = A_TOKEN,
    max_chars: int = 100_000,
    catalog: Catalog | None = None,
    timeout: float = 30.0,
    confirm: str = "never",
    clock: Callable[[], float] = time.monotonic,
) -> Dispatcher:
    """The real door before a stand-in for Airflow; it retries without a pause.

    What `allow` names is done, without confirmation unless `confirm` says how, and the DAGs that `deny` names are
    hidden: tests/permissions is about that.
    """
    catalog = catalog or load_catalog()
    client = AirflowClient(
        airflow.url, credentials, transport=airflow.transport, backoff=0, timeout=timeout, clock=clock
    )
    table: Json = {"allow": [{"tools": list(allow), "confirm": confirm}]} if allow else {}
    table |= {"deny": [{"tools": ["*"], "dags": list(deny)}]} if deny else {}
    return Dispatcher(
        catalog, parse_policy((), catalog, table=table), client, load_workflows, ceiling=max_chars, clock=clock
    )


async def workflow_context(client: Clients, name: str, arguments: Json) -> WorkflowContext:
    """What one workflow is given for a call of nobody in particular."""
    catalog, caller = load_catalog(), Caller()
    tool = catalog.tools[name]
    call = Call(
        tool,
        arguments,
        caller,
        Policy(),
        "default",
        AuditRecord.begin(caller, tool, "default"),
        SizeLimits(8_000, 8_000),
        parent=ParentCall(tool, derive_effects(tool, arguments)),
    )
    return WorkflowContext(OperationExecutor(catalog, client), call, await client.version())


@asynccontextmanager
async def assistant(
    airflow: FakeAirflow, *, mode: str = "auto", toolsets: tuple[str, ...] = (), heard: Any = None, **door: Any
) -> AsyncGenerator[Assistant]:
    """An assistant connected to the real server, which talks to that stand-in; `heard` is told of notifications."""
    opened = open_door(airflow, **door)
    instances = Instances({"default": opened})
    server = AirflowServer(instances, parse_toolsets(toolsets, opened.catalog))
    failure: Exception | None = None
    async with Client(server, mode=mode, message_handler=heard) as client:
        try:
            yield Assistant(client, instances, airflow)
        except Exception as error:  # noqa: BLE001 - raised below, outside the client's group of tasks
            failure = error
    if failure is not None:
        raise failure


CallTool = Callable[..., CallToolResult]


@contextmanager
def talking(airflow: FakeAirflow, **options: Any) -> Generator[CallTool]:
    """The same for properties, which hypothesis runs many times over one connection: `call(tool, **arguments)`."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(assistant(airflow, **options)) as someone,
    ):

        def call(tool: str, /, **arguments: Any) -> CallToolResult:
            return portal.call(partial(someone.client.call_tool, tool, arguments))

        yield call


def calls_of(answer: Json) -> list[tuple[str, Json]]:
    """The calls to make next as an answer advises them, without why."""
    return [(call["tool"], call["arguments"]) for call in answer.get("next", ())]


def table(answer: Json) -> list[Json]:
    """The rows of a list as objects."""
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
