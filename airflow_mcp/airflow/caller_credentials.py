"""What a caller brings to be itself at Airflow, and who it then is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_mcp.airflow.auth.auth_method import AuthMethod
from airflow_mcp.fair_share import SOLE_HOLDER


@dataclass(frozen=True)
class CallerCredentials:
    """What came with a call. No part of it is shown by `repr`."""

    authenticated: bool = False  # whether the caller had to say who it is
    issued: str = field(default="", repr=False)  # the access token that let it in, if an OAuth issuer made it
    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)  # Airflow's own, by instance
    share: str = SOLE_HOLDER  # whose share of the places at an Airflow its requests take


@dataclass(frozen=True)
class CallerLogin:
    """Who a caller is at Airflow: two calls with the same `secret` of the same caller share one login."""

    secret: str = field(repr=False)
    method: AuthMethod


# What a caller presented -> who it is at Airflow. Raises LoginError where it did not present what is needed.
Identify = Callable[[CallerCredentials], CallerLogin]
