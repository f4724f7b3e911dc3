"""Settings become a door: the catalog, the policy checked against it, and the client of one Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.airflow.auth import Credentials
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog.load import load_catalog
from airflow_mcp.policy.decide import parse_policy
from airflow_mcp.tools.run import Door

if TYPE_CHECKING:
    from airflow_mcp.settings import Settings


def open_door(settings: Settings) -> Door:
    """Everything but the connection itself. Raises SettingsError and ManifestError."""
    catalog = load_catalog()
    client = AirflowClient(
        settings.url,
        Credentials(
            username=settings.username,
            password=settings.password.get_secret_value(),
            token=settings.token.get_secret_value(),
            token_command=settings.token_command_words,
        ),
        timeout=settings.timeout,
        ca_file=settings.ca_file or None,
    )
    return Door(catalog, parse_policy(settings.allow, catalog), client, ceiling=settings.max_chars)
