"""Settings of HTTP: how MCP clients reach a server, and how their callers are identified."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from airflow_mcp.addresses import is_loopback
from airflow_mcp.http_tokens import LOCAL, NAME
from airflow_mcp.settings.endpoint import read_pair
from airflow_mcp.settings.oauth_issuer import OAuthIssuer


def split_words(value: Any) -> Any:
    """Split a list as it stands in a variable, "a, b", into a tuple; return anything else unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(split_words)]


class Token(BaseModel):
    """`[tokens.NAME]`: digest and roles of a token that `airflow-mcp token new NAME` made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    roles: tuple[str, ...] = ()

    @field_validator("sha256")
    @classmethod
    def _is_a_digest(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise ValueError(
                "must be the 64 hexadecimal digits that `airflow-mcp token new` prints, not the token itself"
            )
        return value


class HttpSettings(BaseModel):
    """The settings of `serve --transport http`; the same names without http_ are its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http_host: str = Field(
        default="127.0.0.1", description="Address to listen on; any but loopback needs tokens or oauth"
    )
    http_port: int = Field(default=8765, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    http_workers: int = Field(default=1, ge=1, le=64, description="Processes that serve")
    http_stateless: bool = Field(default=False, description="Keep no sessions, so that any replica can answer")
    http_allowed_hosts: Names = Field(
        default=(), description="Host headers to accept beside loopback, such as mcp.example.com or mcp.example.com:*"
    )
    http_allowed_origins: Names = Field(
        default=(), description="Origin headers to accept beside loopback, such as https://chat.example.com"
    )
    http_trusted_proxies: Names = Field(
        default=(), description="Addresses whose X-Forwarded-For and -Proto are believed"
    )
    http_tls_cert: str = Field(default="", description="PEM file of the certificate to serve TLS with")
    http_tls_key: str = Field(default="", description="PEM file of its private key")
    http_max_body: int = Field(default=1_048_576, ge=1024, description="Bytes a request may have")
    http_max_calls: int = Field(
        default=256, ge=1, description="Requests a process answers at once, shared out between callers; more get 503"
    )
    http_max_sessions: int = Field(default=1000, ge=1, description="Sessions of a process, shared out between callers")
    http_per_minute: int = Field(
        default=1200, ge=1, description="Requests a minute of one caller, and from one address without a token"
    )
    http_ready_needs_airflow: bool = Field(
        default=False, description="Whether /readyz says 503 while no Airflow can be reached"
    )
    http_drain: int = Field(default=30, ge=0, description="Seconds that calls in flight may take after SIGTERM")
    tokens: dict[str, Token] = Field(default={}, description="Who may call over HTTP (TOML only): docs/deploy.md")
    oauth: OAuthIssuer | None = Field(
        default=None, description="The issuer whose access tokens are accepted over HTTP (TOML only): docs/oauth.md"
    )

    @field_validator("tokens")
    @classmethod
    def _are_somebodys(cls, value: dict[str, Token]) -> dict[str, Token]:
        for name in value:
            if not NAME.fullmatch(name) or name == LOCAL:
                raise ValueError(f"has {name!r}, which names nobody: use letters, digits and . _ @ -, and not {LOCAL}")
        if len({token.sha256 for token in value.values()}) < len(value):
            raise ValueError("has one sha256 under two names, so that nobody could tell who calls")
        return value

    @field_validator("http_tls_cert", "http_tls_key")
    @classmethod
    def _names_a_file(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError(f"names no file: {value}")
        return value

    @model_validator(mode="after")
    def _has_key_with_certificate(self) -> Self:
        if bool(self.http_tls_cert) != bool(self.http_tls_key):
            raise ValueError("http_tls_cert and http_tls_key go together: set both or neither")
        if self.http_tls_cert:
            try:
                read_pair(self.http_tls_cert, self.http_tls_key)
            except (OSError, ValueError):
                raise ValueError(
                    "http_tls_cert and http_tls_key must be files with a certificate and its private key in PEM form, "
                    "without a passphrase"
                ) from None
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback(self.http_host)
