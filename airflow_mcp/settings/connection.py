"""One Airflow as an operator describes it: where it is, how to log in, and the rules for it alone."""

from __future__ import annotations

import shlex
import ssl
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

PREFIX = "AIRFLOW_MCP_"


def certificates(file: str) -> str:
    """The same name, of a PEM file with certificates, or empty. Raises ValueError."""
    if file and not Path(file).is_file():
        raise ValueError(f"names no file: {file}")
    if file:
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError:
            raise ValueError(f"holds no certificate in PEM form: {file}") from None
    return file


class Connection(BaseModel):
    """One Airflow: where it is and how to log in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        default="http://127.0.0.1:8080", description="Airflow's address, with its path prefix if it has one"
    )
    username: str = Field(default="", description="User for basic authentication (2.x) or for a token login (3.x)")
    password: SecretStr = Field(default=SecretStr(""), description="That user's password")
    token: SecretStr = Field(default=SecretStr(""), description="A bearer token, instead of user and password")
    token_command: str = Field(
        default="", description="A command that prints a bearer token; run again when it expires"
    )
    ca_file: str = Field(default="", description="PEM file of the CA that signed Airflow's certificate")
    timeout: float = Field(default=30.0, gt=0, le=3600, description="Seconds one request to Airflow may take")

    @field_validator("url")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        example = "must be an address such as https://airflow.example.com or http://127.0.0.1:8080/prefix"
        try:
            parts = urlsplit(value)
            port_is_right = parts.port is None or parts.port > 0
        except ValueError:
            raise ValueError(example) from None
        if parts.username or parts.password:
            raise ValueError("must not hold a user or password; use AIRFLOW_MCP_USERNAME and AIRFLOW_MCP_PASSWORD")
        is_plain = value.isprintable() and " " not in value and port_is_right
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or not is_plain:
            raise ValueError(example)
        base = value.rstrip("/")
        return base.removesuffix("/api/v1").removesuffix("/api/v2").rstrip("/")

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

    @field_validator("ca_file")
    @classmethod
    def _is_file(cls, value: str) -> str:
        return certificates(value)

    @model_validator(mode="after")
    def _has_one_identity(self) -> Self:
        ways = {
            "TOKEN": bool(self.token.get_secret_value()),
            "TOKEN_COMMAND": bool(self.token_command),
            "USERNAME": bool(self.username),
        }
        if sum(ways.values()) > 1:
            given = " and ".join(f"{PREFIX}{name}" for name, is_set in ways.items() if is_set)
            raise ValueError(f"{given} are set: choose one way to log in")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError(f"{PREFIX}USERNAME and {PREFIX}PASSWORD go together: set both or neither")
        return self

    @property
    def token_command_words(self) -> tuple[str, ...]:
        """The token command as it is run, without a shell."""
        return tuple(shlex.split(self.token_command))


class Instance(Connection):
    """`[instances.NAME]`: one of several Airflows, with rules for it alone."""

    allow: tuple[dict[str, Any], ...] = ()
    deny: tuple[dict[str, Any], ...] = ()

    @field_validator("allow", "deny")
    @classmethod
    def _is_about_this_one(cls, rules: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        if any("instances" in rule for rule in rules):
            raise ValueError("is about this Airflow alone: leave out instances, or write the rule under [policy]")
        return rules
