"""Logins from settings: how this server logs in to an Airflow, and how its callers are identified there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_mcp.airflow.auth.caller_token import identify_by_token
from airflow_mcp.airflow.auth.client_credentials import ClientCredentials
from airflow_mcp.airflow.auth.google import Google
from airflow_mcp.airflow.auth.kerberos import Kerberos
from airflow_mcp.airflow.auth.keycloak import Keycloak
from airflow_mcp.airflow.auth.mwaa import Mwaa
from airflow_mcp.airflow.auth.token_endpoint import TokenEndpoint
from airflow_mcp.airflow.auth.token_exchange import TokenExchange, identify_by_exchange
from airflow_mcp.airflow.caller_clients import CallerClients, Clients
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.credentials import Credentials
from airflow_mcp.airflow.error_wording import ErrorWording
from airflow_mcp.airflow.network import Network
from airflow_mcp.observer import NULL_OBSERVER, Observer

if TYPE_CHECKING:
    from airflow_mcp.airflow.auth.auth_method import AuthMethod
    from airflow_mcp.settings.connection import Connection


def build_clients(
    connection: Connection,
    instance: str,
    observer: Observer = NULL_OBSERVER,
    *,
    alone: bool,
    names: Mapping[str, str] | None = None,
) -> Clients:
    """Build the client of one Airflow, or one for each of its callers; `alone` if there is no other Airflow.

    `names` maps a variable to the setting used in its place, for errors that name it. Raises SettingsError where a
    library that the login needs is not installed.
    """
    network = Network(
        ca_file=connection.ca_file,
        client_cert=connection.client_cert,
        client_key=connection.client_key,
        proxy=connection.proxy.get_secret_value(),
        headers={name: value.get_secret_value() for name, value in connection.headers.items()},
    )
    client = AirflowClient(
        connection.url,
        _build_method(connection, network),
        timeout=connection.timeout,
        network=network,
        instance=instance,
        observer=observer,
        wording=ErrorWording("" if alone else instance, names or {}),
    )
    match connection.identity:
        case "service":
            return client
        case "caller":
            return CallerClients(client, identify_by_token(instance, alone=alone))
        case "exchange":
            endpoint = TokenEndpoint(
                connection.exchange_url,
                connection.exchange_client_id,
                connection.exchange_client_secret.get_secret_value(),
                connection.ca_file,
            )
            exchange = TokenExchange(
                endpoint, connection.exchange_audience, connection.exchange_scope, connection.exchange_login
            )
            return CallerClients(client, identify_by_exchange(exchange))


def _build_method(connection: Connection, network: Network) -> Credentials | AuthMethod:
    match connection.auth:
        case "given":
            return Credentials(
                username=connection.username,
                password=connection.password.get_secret_value(),
                token=connection.token.get_secret_value(),
                token_command=connection.token_command_words,
            )
        case "client_credentials":
            secret = connection.token_client_secret.get_secret_value()
            endpoint = TokenEndpoint(connection.token_url, connection.token_client_id, secret, connection.ca_file)
            return ClientCredentials(endpoint, connection.token_scope, connection.token_audience)
        case "keycloak":
            return Keycloak(connection.token_client_id, connection.token_client_secret.get_secret_value())
        case "google":
            return Google(connection.google_audience)
        case "mwaa":
            environment, region = connection.mwaa_environment, connection.mwaa_region
            return Mwaa(connection.url, environment, region, network, connection.timeout)
        case "kerberos":
            return Kerberos(connection.url, connection.kerberos_service)
