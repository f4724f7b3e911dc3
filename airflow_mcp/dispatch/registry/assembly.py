"""Assembly from settings: the catalog, the policy checked against it, and a dispatcher for each Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.catalog.loader import Catalog, load_catalog
from airflow_mcp.dispatch.dispatcher import Dispatcher
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.logins import build_clients
from airflow_mcp.dispatch.safety.safeguards import Safeguards
from airflow_mcp.dispatch.workflow_context import LoadWorkflows
from airflow_mcp.errors import SettingsError
from airflow_mcp.observer import NULL_OBSERVER, Observer
from airflow_mcp.policy.rules import Policy, parse_policy

if TYPE_CHECKING:
    from airflow_mcp.settings.settings import Settings


def open_instances(settings: Settings, load_workflows: LoadWorkflows, observer: Observer = NULL_OBSERVER) -> Instances:
    """Build everything but the connections themselves. Raises SettingsError and ManifestError."""
    catalog = load_catalog()
    policy = build_policy(settings, catalog)
    redis_url = settings.redis_url.get_secret_value()
    safeguards = Safeguards(policy, settings.audit, redis_url=redis_url, keys=settings.shared_keys, observer=observer)
    airflow_is_single = len(settings.connections) == 1
    clients = {
        name: build_clients(connection, name, observer, alone=airflow_is_single, names=settings.map_names(name))
        for name, connection in settings.connections.items()
    }
    return Instances(
        {
            name: Dispatcher(
                catalog,
                policy,
                client,
                load_workflows,
                ceiling=settings.max_chars,
                instance=name,
                safeguards=safeguards,
            )
            for name, client in clients.items()
        }
    )


def build_policy(settings: Settings, catalog: Catalog) -> Policy:
    """Return the rules of these settings. Raises SettingsError, with file and line."""
    try:
        return parse_policy(
            settings.allow, catalog, table=settings.rules, instances=settings.connections, name_of=settings.name_rule
        )
    except SettingsError as error:
        raise settings.locate(error) from None
