"""The interface of all methods to log in to an Airflow."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from airflow_mcp.catalog.versions import Generation

# (method, path, JSON body or None) -> status and body: one request to this Airflow, outside its API proper.
SendPlain = Callable[[str, str, dict[str, str] | None], Awaitable[tuple[int, bytes]]]
EARLY = 20.0  # seconds before its expiry at which a token is replaced
LONGEST = 10**9  # seconds; larger numbers are no lifetimes
SINGLE_USE = -math.inf  # the expiry of headers that are good for one request


@dataclass(frozen=True)
class AuthHeaders:
    """Headers that authenticate a request; `expires_at` is when to replace them (the event loop's clock, seconds)."""

    headers: Mapping[str, str] = field(repr=False)
    expires_at: float = math.inf


@dataclass(frozen=True)
class AuthRequest:
    """The circumstances of a login."""

    generation: Generation | None  # None while it is unknown: something in front of Airflow requires a login
    refused: bool  # whether Airflow has just refused the last headers
    send_plain: SendPlain


class AuthMethod(Protocol):
    """A method to log in to Airflow. `authenticate` is called once for all calls that wait for it."""

    rotates: bool = False  # whether each login may use a new secret, which others put where it is read
    advice: str = "Check that it is still good."  # for the person who can act on a refused login

    def describe(self) -> str:
        """Describe the identity for a person, without secrets."""
        ...

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """Return new headers.

        Raises LoginError, or another AirflowMcpError, when it can make none, and LoginRefusedError when credentials
        were presented and refused.
        """
        ...

    def retry(self) -> None:
        """Allow credentials that were refused elsewhere than at Airflow to be presented again."""

    async def aclose(self) -> None:
        """Close what this method has opened."""


def describe_ambiguity(generation: Generation | None) -> str:
    """Explain that Airflow 2 answers a bad login like a role that may read nothing; "" for another generation."""
    return " It looks the same when its role may read no DAG." if generation == "v1" else ""


def build_bearer(token: str, until: float = math.inf) -> AuthHeaders:
    """Build the headers of a bearer token (RFC 6750)."""
    return AuthHeaders({"Authorization": f"Bearer {token}"}, until)


def is_token(text: str) -> bool:
    """Return whether a text can follow "Bearer " in a header: visible ASCII, without spaces (RFC 6750, 2.1)."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
