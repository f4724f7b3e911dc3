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
from airflow_mcp.catalog.loader import Catalog, Tool, load_catalog
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.dispatcher import Dispatcher
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.dispatch.safety.plan_tokens import PlanTokens
from airflow_mcp.dispatch.safety.rate_limits import RateLimiter
from airflow_mcp.dispatch.safety.safeguards import Safeguards
from airflow_mcp.policy.rules import parse_policy
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.workflows import load_workflows
from tests.unit.assistant import A_TOKEN, Assistant
from tests.unit.fake_airflow import FakeAirflow, Sent
from tests.unit.samples import a_value

Json = dict[str, Any]
CATALOG = load_catalog()
# What runs others has no decision of its own: test_forwarding.py is about it.
CHANGING = [tool for tool in CATALOG.tools.values() if tool.entry.access != "read" and not tool.entry.forwards]
NO_PAYROLL: Json = {"tools": ["*"], "dags": ["payroll_*"]}  # the deny rule of most of these tests
ADMIN = ["*", "@admin"]  # no glob reaches the tools for users and roles
# What stands in a whole call, by an argument's name or, before it, by how the catalog describes it.
IDS: Json = {
    "dag_id": "etl_a",
    "dag_ids": ["etl_a"],
    "dag_run_id": "r1",
    "task_id": "load",
    "dag_id_pattern": "etl",
    "pool_name": "small",
    "name": "small",
    "variable_key": "limit",
    "new_variable_key": "limit_new",
    "connection_id": "warehouse",
    "username": "ann",
    "role_name": "Viewer",
    "new_role_name": "Viewer",
    "uri": "s3://lake/orders",
    "backfill_id": 5,
    "slots": 3,
    "state": "failed",
    "new_state": "failed",
    "chosen_options": ["Approve"],
    "dry_run": False,
    "since": "2026-11-21T00:00:00Z",
    "new_pools": [{"pool_name": "small", "slots": 3}],
    "new_variables": [{"variable_key": "limit", "value": "7"}],
    "new_connections": [{"connection_id": "warehouse", "conn_type": "http"}],
    "changed_runs": [{"dag_run_id": "r1", "state": "failed"}],
    "changed_task_instances": [{"task_id": "load", "new_state": "failed"}],
}
# Arguments that name what a call touches, each of which may be put in place of what stands above.
NAMING: dict[str, tuple[str, ...]] = {
    "dag": ("dag_id", "dag_ids"),
    "pool": ("pool_name",),
    "variable": ("variable_key",),
    "connection": ("connection_id",),
}
# These name nothing that a rule could be about, and so touch all of it.
REACHES_ALL = {"create_default_connections"}
FILTERED = {"pause_dags", "unpause_dags"}  # change every DAG that fits filters, which is looked up


def patient(max_examples: int) -> settings:
    """A property that meets the same examples everywhere, however slow the machine is."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
    return settings(
        max_examples=max_examples, deadline=None, derandomize=True, database=None, suppress_health_check=checks
    )


def whole_call(tool: Tool, **others: Any) -> Json:
    """Arguments that this tool needs, of the kind it takes; of `others` those that it takes."""
    entry = tool.entry
    described = {use.name: use.table for use in entry.params}
    names = [use.name for use in entry.params if use.required or use.name in ("dag_id", "dry_run")]
    if not {*names, *others} & set(entry.any_of):
        names.append("uri" if "uri" in entry.any_of else entry.any_of[0]) if entry.any_of else None
    known = {name: IDS.get(described[name], IDS.get(name)) for name in names}
    values = {
        name: a_value(CATALOG.parameters[described[name]].json_schema) if value is None else value
        for name, value in known.items()
    }
    also = {"dag_ids": [others["dag_id"]]} if "dag_id" in others and "dag_ids" in values else {}
    return {**values, **{name: value for name, value in {**also, **others}.items() if name in described}}


def stranger_call(tool: Tool, stranger: str) -> Json:
    """A whole call about something else of every noun: by this name, or by what belongs to payroll_a."""
    arguments = whole_call(tool, **{name: stranger for names in NAMING.values() for name in names if name != "dag_ids"})
    strange: Json = {"uri": "s3://lake/salaries", "backfill_id": 6, "dag_id_pattern": stranger}
    arguments |= {name: value for name, value in strange.items() if name in arguments}
    for word in ("create", "update"):
        for noun, key in (("pool", "pool_name"), ("variable", "variable_key"), ("connection", "connection_id")):
            if word in arguments and getattr(tool.entry.scope, noun):
                arguments[word] = [*arguments[word], {**arguments[word][0], key: stranger}]
    return arguments


def changing(version: str) -> list[Tool]:
    """The tools that change something, as far as this Airflow has them."""
    return [tool for tool in CHANGING if tool.entry.since.has(Version.parse(version))]


def touches_nothing(tool: Tool) -> bool:
    """Whether no rule about DAGs, pools, variables or connections is about this tool: users and roles."""
    return not tool.entry.scope.model_dump(exclude_none=True)


def open_instances(
    airflow: FakeAirflow | dict[str, FakeAirflow],
    policy: Json | None = None,
    *,
    allow: tuple[str, ...] = (),
    audit: str = "",
    plans: PlanTokens | None = None,
    rates: RateLimiter | None = None,
    max_chars: int = 100_000,
    catalog: Catalog = CATALOG,
) -> Instances:
    """The real doors before these Airflows, under a `[policy]` table and an AIRFLOW_MCP_ALLOW."""
    places = {"default": airflow} if isinstance(airflow, FakeAirflow) else airflow
    rules = parse_policy(allow, catalog, table=policy, instances=places)
    safeguards = Safeguards(rules, audit)
    safeguards.plans = plans or safeguards.plans
    safeguards.rates = rates or safeguards.rates
    return Instances(
        {
            name: Dispatcher(
                catalog,
                rules,
                AirflowClient(one.url, A_TOKEN, transport=one.transport, backoff=0),
                load_workflows,
                ceiling=max_chars,
                instance=name,
                safeguards=safeguards,
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
    return [sent for sent in airflow.seen if is_change(sent)]


def is_change(sent: Sent) -> bool:
    """Whether a request would change something."""
    dry = isinstance(sent.body, dict) and sent.body.get("dry_run") is True
    return sent.method != "GET" and not dry and not sent.path.endswith(("/auth/token", "/dry_run", "/list"))


Named = dict[str, set[str]]
_KEYS = {
    "dags": ("dag", ("dag_id",)),
    "pools": ("pool", ("name", "pool")),
    "variables": ("variable", ("key",)),
    "connections": ("connection", ("connection_id",)),
}
_NO_CONNECTIONS = {"test", "enqueue-test", "defaults"}


def addressed(sent: Sent) -> Named:
    """What a request names of each noun, read off its path and body as Airflow would."""
    parts = [unquote(part) for part in sent.path.split("/")]
    found: Named = {"dag": set(), "pool": set(), "variable": set(), "connection": set()}
    place = parts[1] if len(parts) > 1 else ""
    noun, keys = _KEYS.get(place, ("dag", ("dag_id",)))
    if place in _KEYS and len(parts) > 2:
        found[noun].add(parts[2] if noun == "dag" else "/".join(parts[2:]))
    found["connection"] -= _NO_CONNECTIONS
    body: Json = sent.body if isinstance(sent.body, dict) else {}
    entities: list[Any] = [body]
    for action in body.get("actions", ()):
        texts = {} if noun == "dag" else {keys[0]: None}  # a text names the pool, but a run or task of a DAG
        entities += [one if isinstance(one, dict) else dict.fromkeys(texts, one) for one in action.get("entities", ())]
    for one in entities:
        found[noun] |= {one[key] for key in keys if key in one}
    if len(entities) > 1 and all(one.get("dag_id") for one in entities[1:]):
        found["dag"].discard("~")  # each of the entities says whose it is
    found["dag"] |= set(body.get("dag_ids", ()))
    return found
