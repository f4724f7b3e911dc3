"""An assistant of the real server before an Airflow on loopback, with the settings that an operator would write."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.dispatcher import Dispatcher
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.dispatch.registry.logins import build_clients
from airflow_mcp.policy.rules import parse_policy
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.settings.connection import Connection
from airflow_mcp.workflows import load_workflows
from tests.unit.assistant import Assistant


@asynccontextmanager
async def connected(**settings: Any) -> AsyncGenerator[Assistant]:
    """An assistant whose server reaches Airflow with these settings of a connection."""
    catalog = load_catalog()
    client = build_clients(Connection.model_validate(settings), "default", alone=True)
    dispatcher = Dispatcher(catalog, parse_policy((), catalog), client, load_workflows, ceiling=100_000)
    server = AirflowServer(Instances({"default": dispatcher}), parse_toolsets((), catalog))
    failure: Exception | None = None
    async with Client(server) as one:
        try:
            yield Assistant(one)
        except Exception as error:  # noqa: BLE001 - raised below, outside the client's group of tasks
            failure = error
    if failure is not None:
        raise failure
