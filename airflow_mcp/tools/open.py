"""Settings become doors: the catalog, the policy checked against it, and a client for each Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.catalog.load import load_catalog
from airflow_mcp.errors import SettingsError
from airflow_mcp.policy.rules import parse_policy
from airflow_mcp.tools.guard import Guard
from airflow_mcp.tools.identify import clients_of
from airflow_mcp.tools.instances import Instances
from airflow_mcp.tools.run import Door

if TYPE_CHECKING:
    from airflow_mcp.settings.read import Settings


def open_instances(settings: Settings) -> Instances:
    """Everything but the connections themselves. Raises SettingsError and ManifestError."""
    catalog = load_catalog()
    try:
        policy = parse_policy(settings.allow, catalog, table=settings.rules, instances=settings.connections)
    except SettingsError as error:
        raise settings.locate(error) from None
    guard = Guard(policy, settings.audit, redis_url=settings.redis_url.get_secret_value(), keys=settings.shared_keys)
    connections = settings.connections
    clients = {name: clients_of(one, name, alone=len(connections) == 1) for name, one in connections.items()}
    return Instances(
        {
            name: Door(catalog, policy, client, ceiling=settings.max_chars, instance=name, guard=guard)
            for name, client in clients.items()
        }
    )
