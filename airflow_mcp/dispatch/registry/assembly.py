"""Settings become doors: the catalog, the policy checked against it, and a client for each Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.catalog.load import Catalog, load_catalog
from airflow_mcp.dispatch.dispatcher import Door
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.logins import clients_of
from airflow_mcp.dispatch.safety.safeguards import Guard
from airflow_mcp.dispatch.workflow_context import LoadWorkflows
from airflow_mcp.errors import SettingsError
from airflow_mcp.observe import NOBODY, Observer
from airflow_mcp.policy.rules import Policy, parse_policy

if TYPE_CHECKING:
    from airflow_mcp.settings.read import Settings


def open_instances(settings: Settings, load_workflows: LoadWorkflows, observer: Observer = NOBODY) -> Instances:
    """Everything but the connections themselves. Raises SettingsError and ManifestError."""
    catalog = load_catalog()
    policy = policy_of(settings, catalog)
    redis_url = settings.redis_url.get_secret_value()
    guard = Guard(policy, settings.audit, redis_url=redis_url, keys=settings.shared_keys, observer=observer)
    alone = len(settings.connections) == 1
    clients = {
        name: clients_of(one, name, observer, alone=alone, names=settings.names_of(name))
        for name, one in settings.connections.items()
    }
    return Instances(
        {
            name: Door(catalog, policy, client, load_workflows, ceiling=settings.max_chars, instance=name, guard=guard)
            for name, client in clients.items()
        }
    )


def policy_of(settings: Settings, catalog: Catalog) -> Policy:
    """The rules of these settings. Raises SettingsError, with file and line."""
    try:
        return parse_policy(
            settings.allow, catalog, table=settings.rules, instances=settings.connections, name_of=settings.name_of
        )
    except SettingsError as error:
        raise settings.locate(error) from None
