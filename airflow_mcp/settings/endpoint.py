"""Address of one Airflow and the transport to it: trust, client certificate, proxy, headers."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
# Headers of identity, routing and framing, which the login and the request itself set.
_REFUSED = frozenset({
    "accept", "authorization", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


def require_certificates(file: str) -> str:
    """Return the name of a PEM file with certificates, or an empty name. Raises ValueError."""
    if file and not Path(file).is_file():
        raise ValueError(f"names no file: {file}")
    if file:
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError:
            raise ValueError(f"holds no certificate in PEM form: {file}") from None
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror}): {file}") from None
    return file


def read_pair(certificate: str, key: str) -> None:
    """Read a certificate and its private key as TLS would; an empty `key` means that `certificate` holds both.

    Raises ssl.SSLError and ValueError where they are no certificate and key or want a passphrase, else OSError. The
    empty password keeps OpenSSL from asking for a passphrase at a terminal.
    """
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key or None, password=lambda: b"")


class AirflowEndpoint(BaseModel):
    """Address of one Airflow and the transport to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        default="http://127.0.0.1:8080", description="Airflow's address, with its path prefix if it has one"
    )
    timeout: float = Field(default=30.0, gt=0, le=3600, description="Seconds one request to Airflow may take")
    ca_file: str = Field(default="", description="PEM file of the CA that signed Airflow's certificate")
    client_cert: str = Field(default="", description="PEM file of the certificate to show Airflow (mutual TLS)")
    client_key: str = Field(default="", description="PEM file of its private key, without a passphrase")
    proxy: SecretStr = Field(
        default=SecretStr(""), description="HTTP proxy to reach Airflow through, such as http://10.0.0.9:3128"
    )
    headers: dict[str, SecretStr] = Field(
        default={}, description="Headers to send with every request to Airflow (TOML only)"
    )

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

    @field_validator("ca_file")
    @classmethod
    def _is_file(cls, value: str) -> str:
        return require_certificates(value)

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        try:
            parts = urlsplit(url)
            is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable()
        except ValueError:
            is_address = False
        if url and not is_address:
            raise ValueError("must be an address such as http://10.0.0.9:3128")
        return value

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            text = secret.get_secret_value()
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name[:40]!r} is no name of a header")
            if name.lower() in _REFUSED:
                raise ValueError(f"{name} is not sent as it is told here: logging in and the request itself make it")
            if not text.isascii() or not text.isprintable() or text != text.strip():
                raise ValueError(f"the value of {name} must be visible ASCII characters, with no space around them")
        return value

    @model_validator(mode="after")
    def _has_key_with_its_certificate(self) -> Self:
        if self.client_key and not self.client_cert:
            raise ValueError("client_key is set without client_cert: set both, or client_cert alone if it holds both")
        for name, file in (("client_cert", self.client_cert), ("client_key", self.client_key)):
            if file and not Path(file).is_file():
                raise ValueError(f"{name} names no file: {file}")
        if self.client_cert:
            try:
                read_pair(self.client_cert, self.client_key)
            except (ssl.SSLError, ValueError):
                files = "client_cert and client_key hold" if self.client_key else "client_cert holds"
                hint = "" if self.client_key else "; if that is in a file of its own, client_key names it"
                raise ValueError(
                    f"{files} no certificate and its private key in PEM form, without a passphrase{hint}"
                ) from None
            except OSError as error:
                raise ValueError(f"client_cert and client_key cannot be read: {error.strerror}") from None
            if self.url.startswith("http:"):
                raise ValueError("client_cert is for an https address, and url is none")
        return self
