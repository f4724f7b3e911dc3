"""A vendor's library that is not installed is named, with the command that installs it."""

from __future__ import annotations

import sys

import pytest

from airflow_mcp.dispatch.registry.logins import build_clients
from airflow_mcp.errors import SettingsError
from airflow_mcp.settings.connection import Connection

WAYS = {
    "google": ({"auth": "google"}, "google.auth", "google"),
    "mwaa": ({"auth": "mwaa", "mwaa_environment": "staging"}, "boto3", "aws"),
    "kerberos": ({"auth": "kerberos"}, "spnego", "kerberos"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_start_names_what_is_missing(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told, module, extra = WAYS[way]
    connection = Connection.model_validate(told)
    assert build_clients(connection, "default", alone=True).url == connection.url
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError) as caught:
        build_clients(connection, "default", alone=True)
    assert str(caught.value) == (
        f'auth = "{way}" needs the extra {extra}, which is not installed here. In a checkout of this server: '
        f"pip install '.[{extra}]'."
    )
