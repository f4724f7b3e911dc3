"""What these tests share: a server over any policy, what a request would change, and patient properties."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any
from urllib.parse import unquote

from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from mcp import Client
from mcp.types import CallToolResult

from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog.load import Catalog, Tool, load_catalog
from airflow_mcp.policy.rules import parse_policy
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.tools.guard import Guard
from airflow_mcp.tools.instances import Instances
from airflow_mcp.tools.offer import parse_toolsets
from airflow_mcp.tools.plan import Plans
from airflow_mcp.tools.rates import Rates
from airflow_mcp.tools.run import Door
from tests.unit.assistant import A_TOKEN, Assistant
from tests.unit.fake_airflow import FakeAirflow, Sent

Json = dict[str, Any]
CATALOG = load_catalog()
CHANGING = [tool for tool in CATALOG.tools.values() if tool.entry.access != "read"]
NO_PAYROLL: Json = {"tools": ["*"], "dags": ["payroll_*"]}  # the deny rule of most of these tests
IDS: Json = {  # arguments that make a whole call of any changing tool
    "dag_id": "etl_a",
    "dag_run_id": "r1",
    "task_id": "load",
    "pool_name": "small",
    "name": "small",
    "slots": 3,
    "state": "failed",
    "new_state": "failed",
    "dry_run": False,
    "dag_ids": ["etl_a"],
    "since": "2026-11-21T00:00:00Z",
}


def patient(max_examples: int) -> settings:
    """A property that meets the same examples everywhere, however slow the machine is."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
    return settings(
        max_examples=max_examples, deadline=None, derandomize=True, database=None, suppress_health_check=checks
    )


def whole_call(tool: Tool, **others: Any) -> Json:
    """Arguments that this tool takes and needs."""
    names = {use.name for use in tool.entry.params}
    also = {"dag_ids": [others["dag_id"]]} if "dag_id" in others else {}
    return {name: value for name, value in {**IDS, **also, **others}.items() if name in names}


def open_instances(
    airflow: FakeAirflow | dict[str, FakeAirflow],
    policy: Json | None = None,
    *,
    allow: tuple[str, ...] = (),
    audit: str = "",
    plans: Plans | None = None,
    rates: Rates | None = None,
    max_chars: int = 100_000,
    catalog: Catalog = CATALOG,
) -> Instances:
    """The real doors before these Airflows, under a `[policy]` table and an AIRFLOW_MCP_ALLOW."""
    places = {"default": airflow} if isinstance(airflow, FakeAirflow) else airflow
    rules = parse_policy(allow, catalog, table=policy, instances=places)
    guard = Guard(rules, audit)
    guard.plans = plans or guard.plans
    guard.rates = rates or guard.rates
    return Instances(
        {
            name: Door(
                catalog,
                rules,
                AirflowClient(one.url, A_TOKEN, transport=one.transport, backoff=0),
                ceiling=max_chars,
                instance=name,
                guard=guard,
            )
            for name, one in places.items()
        }
    )


@asynccontextmanager
async def connected(
    airflow: FakeAirflow | dict[str, FakeAirflow],
    policy: Json | None = None,
    *,
    mode: str = "auto",
    human: Any = None,
    **options: Any,
) -> AsyncGenerator[Assistant]:
    """An assistant at the real server; `human` answers its questions (an MCP elicitation callback)."""
    instances = open_instances(airflow, policy, **options)
    server = AirflowServer(instances, parse_toolsets((), instances.catalog))
    failure: Exception | None = None
    async with Client(server, mode=mode, elicitation_callback=human) as client:
        try:
            yield Assistant(client)
        except Exception as error:  # noqa: BLE001 - raised below, outside the client's group of tasks
            failure = error
    if failure is not None:
        raise failure


@contextmanager
def talking_to(
    airflow: FakeAirflow | dict[str, FakeAirflow], policy: Json | None = None, **options: Any
) -> Generator[Callable[..., CallToolResult]]:
    """The same for properties: `call(tool, **arguments)` many times over one connection."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(connected(airflow, policy, **options)) as someone,
    ):

        def call(tool: str, /, **arguments: Any) -> CallToolResult:
            return portal.call(partial(someone.client.call_tool, tool, arguments))

        yield call


def changes(airflow: FakeAirflow) -> list[Sent]:
    """The requests that would change something: neither reads, nor dry runs, nor logins."""
    return [
        sent
        for sent in airflow.seen
        if sent.method != "GET"
        and not (isinstance(sent.body, dict) and sent.body.get("dry_run") is True)
        and not sent.path.endswith(("/auth/token", "/dry_run"))
    ]


def addressed(sent: Sent) -> dict[str, set[str]]:
    """The DAGs and pools that a request names, read off its path and body as Airflow would."""
    parts = [unquote(part) for part in sent.path.split("/")]
    found: dict[str, set[str]] = {"dag": set(), "pool": set()}
    for noun, place in (("dag", "dags"), ("pool", "pools")):
        if place in parts and parts.index(place) + 1 < len(parts):
            rest = parts[parts.index(place) + 1 :]
            found[noun].add("/".join(rest) if noun == "pool" else rest[0])
    body: Json = sent.body if isinstance(sent.body, dict) else {}
    if "pools" in parts:
        found["pool"] |= {body[key] for key in ("name", "pool") if key in body}
    if "dag_id" in body:
        found["dag"].add(body["dag_id"])
    return found
