"""One Airflow as an operator describes it: its address, the identity used there, and the rules for it alone."""

from __future__ import annotations

from typing import Any, Self

from pydantic import field_validator, model_validator

from airflow_mcp.settings.endpoint import AirflowEndpoint
from airflow_mcp.settings.login import PREFIX, Login

__all__ = ["PREFIX", "Connection", "Instance"]


class Connection(Login, AirflowEndpoint):
    """One Airflow: its address, its transport and the login."""

    @model_validator(mode="after")
    def _lets_no_cookie_speak_for_its_callers(self) -> Self:
        if self.identity != "service" and any(name.lower() == "cookie" for name in self.headers):
            raise ValueError(f'headers has a Cookie, which would go with every caller: identity is "{self.identity}"')
        return self


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
