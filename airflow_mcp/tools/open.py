"""Settings become doors: the catalog, the policy checked against it, and a client for each Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.airflow.auth import Credentials
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog.load import Catalog, load_catalog
from airflow_mcp.errors import SettingsError
from airflow_mcp.observe import NOBODY, Observer
from airflow_mcp.policy.rules import Policy, parse_policy
from airflow_mcp.tools.guard import Guard
from airflow_mcp.tools.instances import Instances
from airflow_mcp.tools.run import Door

if TYPE_CHECKING:
    from airflow_mcp.settings.connection import Connection
    from airflow_mcp.settings.read import Settings


def open_instances(settings: Settings, observer: Observer = NOBODY) -> Instances:
    """Everything but the connections themselves. Raises SettingsError and ManifestError."""
    catalog = load_catalog()
    policy = policy_of(settings, catalog)
    redis_url = settings.redis_url.get_secret_value()
    guard = Guard(policy, settings.audit, redis_url=redis_url, keys=settings.shared_keys, observer=observer)
    return Instances(
        {
            name: Door(
                catalog,
                policy,
                _client(name, one, observer),
                ceiling=settings.max_chars,
                instance=name,
                guard=guard,
            )
            for name, one in settings.connections.items()
        }
    )


def policy_of(settings: Settings, catalog: Catalog) -> Policy:
    """The rules of these settings. Raises SettingsError, with file and line."""
    try:
        return parse_policy(settings.allow, catalog, table=settings.rules, instances=settings.connections)
    except SettingsError as error:
        raise settings.locate(error) from None


def _client(name: str, connection: Connection, observer: Observer) -> AirflowClient:
    credentials = Credentials(
        username=connection.username,
        password=connection.password.get_secret_value(),
        token=connection.token.get_secret_value(),
        token_command=connection.token_command_words,
    )
    return AirflowClient(
        connection.url,
        credentials,
        timeout=connection.timeout,
        ca_file=connection.ca_file or None,
        instance=name,
        observer=observer,
    )
