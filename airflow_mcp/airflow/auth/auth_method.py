"""What every way to prove to an Airflow who is asking has in common."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from airflow_mcp.catalog.versions import Generation

# (method, path, JSON body or None) -> status and body: one request to this Airflow, outside its API proper.
SendPlain = Callable[[str, str, dict[str, str] | None], Awaitable[tuple[int, bytes]]]
EARLY = 20.0  # seconds that a token is replaced before it expires
LONGEST = 10**9  # seconds, beyond which numbers are no times
SINGLE_USE = -math.inf  # the `until` of a proof that is good for one request


@dataclass(frozen=True)
class AuthHeaders:
    """Headers that say who is asking; `expires_at` is when to replace them (the event loop's clock, seconds)."""

    headers: Mapping[str, str] = field(repr=False)
    expires_at: float = math.inf


@dataclass(frozen=True)
class AuthRequest:
    """What a proof is wanted for."""

    generation: Generation | None  # None while it is unknown: something in front of Airflow wants a login
    refused: bool  # whether Airflow has just refused the last proof
    send_plain: SendPlain


class AuthMethod(Protocol):
    """One way to prove who is asking. `authenticate` is asked once for all calls that wait for it."""

    rotates: bool = False  # whether each proof may rest on a new secret, which others put where it is read
    advice: str = "Check that it is still good."  # for whoever can do something about a proof that is refused

    def describe(self) -> str:
        """Who this is, for a person; never a secret."""
        ...

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """A new proof. Raises LoginError, or another AirflowMcpError, when none can be had.

        It is a LoginRefusedError where credentials were presented to somebody who refuses them.
        """
        ...

    def retry(self) -> None:
        """Let credentials that were refused elsewhere than at Airflow be tried again."""

    async def aclose(self) -> None:
        """Close what it has opened."""


def describe_ambiguity(generation: Generation | None) -> str:
    """Airflow 2 gives a login that is not good and a role that may read nothing the same answer."""
    return " It looks the same when its role may read no DAG." if generation == "v1" else ""


def build_bearer(token: str, until: float = math.inf) -> AuthHeaders:
    """A bearer token (RFC 6750)."""
    return AuthHeaders({"Authorization": f"Bearer {token}"}, until)


def is_token(text: str) -> bool:
    """Whether a text can stand behind "Bearer " in a header: visible ASCII, without spaces (RFC 6750, 2.1)."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
