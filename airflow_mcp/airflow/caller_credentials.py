"""The credentials that a caller brings for Airflow, and its login there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_mcp.airflow.auth.auth_method import AuthMethod
from airflow_mcp.fair_share import SOLE_HOLDER


@dataclass(frozen=True)
class CallerCredentials:
    """The credentials that came with a call; `repr` shows none of them."""

    authenticated: bool = False  # whether the caller had to authenticate
    issued: str = field(default="", repr=False)  # the OAuth issuer's access token that authenticated the caller
    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)  # Airflow's own, by instance
    share: str = SOLE_HOLDER  # the holder whose share of the concurrency limit its requests use


@dataclass(frozen=True)
class CallerLogin:
    """The login of a caller at Airflow: two calls of the same caller with the same `secret` share it."""

    secret: str = field(repr=False)
    method: AuthMethod


# A caller's credentials -> its login at Airflow. Raises LoginError where they lack what is needed.
Identify = Callable[[CallerCredentials], CallerLogin]
