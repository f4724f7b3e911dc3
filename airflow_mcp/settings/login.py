"""Login to an Airflow as an operator sets it: as this server by one of several methods, or as each caller."""

from __future__ import annotations

import shlex
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from airflow_mcp.addresses import is_sheltered

PREFIX = "AIRFLOW_MCP_"
# Settings that each `auth` and each `identity` takes, and whether it needs them.
_OF_AUTH = {
    "client_credentials": {
        "token_url": True,
        "token_client_id": True,
        "token_client_secret": True,
        "token_scope": False,
        "token_audience": False,
    },
    "keycloak": {"token_client_id": True, "token_client_secret": True},
    "google": {"google_audience": False},
    "mwaa": {"mwaa_environment": True, "mwaa_region": False},
    "kerberos": {"kerberos_service": False},
}
_OF_IDENTITY = {
    "exchange": {
        "exchange_url": True,
        "exchange_client_id": True,
        "exchange_client_secret": True,
        "exchange_audience": False,
        "exchange_scope": False,
        "exchange_login": False,
    }
}
_NO_SECRET = SecretStr("")


class Login(BaseModel):
    """The identity used at one Airflow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str = Field(default="", description="User for basic authentication (2.x) or for a token login (3.x)")
    password: SecretStr = Field(default=_NO_SECRET, description="That user's password")
    token: SecretStr = Field(default=_NO_SECRET, description="A bearer token, instead of user and password")
    token_command: str = Field(
        default="", description="A command that prints a bearer token; run again when it expires"
    )
    auth: Literal["given", "client_credentials", "keycloak", "google", "mwaa", "kerberos"] = Field(
        default="given",
        description="How to log in: as given above, or client_credentials, keycloak, google, mwaa, kerberos: "
        "docs/airflows.md",
    )
    token_url: str = Field(default="", description="client_credentials: the OAuth token endpoint")
    token_client_id: str = Field(default="", description="client_credentials, keycloak: the client's id there")
    token_client_secret: SecretStr = Field(
        default=_NO_SECRET, description="client_credentials, keycloak: that client's secret"
    )
    token_scope: str = Field(default="", description="client_credentials: scopes to ask for")
    token_audience: str = Field(default="", description="client_credentials: audience to ask for")
    google_audience: str = Field(default="", description="google: the client id of IAP; empty is Cloud Composer")
    mwaa_environment: str = Field(default="", description="mwaa: the environment's name")
    mwaa_region: str = Field(default="", description="mwaa: its region; empty is AWS's own default")
    kerberos_service: str = Field(default="", description="kerberos: the service of Airflow's principal; empty is HTTP")
    identity: Literal["service", "caller", "exchange"] = Field(
        default="service",
        description="In whose name Airflow is asked: this server's, or each caller's own: docs/airflows.md",
    )
    exchange_url: str = Field(default="", description="exchange: the token endpoint of the callers' OAuth issuer")
    exchange_client_id: str = Field(default="", description="exchange: this server's client id there")
    exchange_client_secret: SecretStr = Field(default=_NO_SECRET, description="exchange: that client's secret")
    exchange_audience: str = Field(default="", description="exchange: audience of the tokens for Airflow")
    exchange_scope: str = Field(default="", description="exchange: scopes of the tokens for Airflow")
    exchange_login: bool = Field(
        default=False,
        description="exchange: log in to Airflow with them (Keycloak's auth manager) instead of sending them",
    )

    @field_validator("token_command")
    @classmethod
    def _is_command(cls, value: str) -> str:
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"is not a command line: {error}") from None
        if value and not words:
            raise ValueError("is not a command line: it holds nothing but spaces")
        return value

    @field_validator("token")
    @classmethod
    def _is_token(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("must be one word of visible ASCII characters")
        return value

    @field_validator("token_url", "exchange_url")
    @classmethod
    def _keeps_secrets(cls, value: str) -> str:
        if value and not is_sheltered(value):
            raise ValueError(f"must be an https address, or one on loopback, not {value[:80]!r}")
        return value

    @model_validator(mode="after")
    def _has_one_identity(self) -> Self:
        methods = {
            "TOKEN": bool(self.token.get_secret_value()),
            "TOKEN_COMMAND": bool(self.token_command),
            "USERNAME": bool(self.username),
        }
        if sum(methods.values()) > 1:
            variables = " and ".join(f"{PREFIX}{name}" for name, is_set in methods.items() if is_set)
            raise ValueError(f"{variables} are set: choose one way to log in")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError(f"{PREFIX}USERNAME and {PREFIX}PASSWORD go together: set both or neither")
        if self.auth != "given" and any(methods.values()):
            variables = next(f"{PREFIX}{name}" for name, is_set in methods.items() if is_set)
            raise ValueError(f'auth = "{self.auth}" and {variables} are set: choose one way to log in')
        return self

    @model_validator(mode="after")
    def _has_what_each_way_takes(self) -> Self:
        for setting, value, methods in (("auth", self.auth, _OF_AUTH), ("identity", self.identity, _OF_IDENTITY)):
            options = methods.get(value, {})
            if missing := [name for name, needed in options.items() if needed and not self._read_option(name)]:
                raise ValueError(f'{setting} = "{value}" needs {" and ".join(missing)}')
            for name in sorted({name for names in methods.values() for name in names} - options.keys()):
                if self._read_option(name):
                    method_names = " or ".join(f'"{method}"' for method, names in methods.items() if name in names)
                    raise ValueError(f'{name} is for {setting} = {method_names}, and that is "{value}"')
        return self

    def _read_option(self, name: str) -> str | bool:
        value: str | bool | SecretStr = getattr(self, name)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    @property
    def token_command_words(self) -> tuple[str, ...]:
        """The words of the token command, which runs without a shell."""
        return tuple(shlex.split(self.token_command))
