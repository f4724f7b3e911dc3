"""Airflow tokens in the headers of a request, each a caller's own for one Airflow; no message quotes one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from airflow_mcp.airflow.auth.auth_method import is_token
from airflow_mcp.airflow.auth.caller_token import HEADER
from airflow_mcp.errors import InvalidArgumentsError, SettingsError

_PREFIX = HEADER.lower()
_NAME = re.compile(r"[A-Za-z0-9-]+")  # characters that every client and proxy passes on


def map_token_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the instance of each token header, in lower case; `headers` maps an instance to its header.

    Raises SettingsError when a name cannot be a header, and when one header would serve two Airflows.
    """
    instances: dict[str, str] = {}
    for instance, header in headers.items():
        if not _NAME.fullmatch(header):
            raise SettingsError(
                f"instances.{instance}: its callers' tokens come in a header that is named after it, with letters, "
                "digits and - alone: rename it."
            )
        other = instances.setdefault(header.lower(), instance)
        if other != instance:
            raise SettingsError(
                f"instances.{instance} and instances.{other} differ in upper and lower case alone, which headers such "
                f"as {header} do not tell apart: rename one."
            )
    return instances


def _is_not_ours(token: str) -> bool:
    del token
    return False


@dataclass(frozen=True)
class AirflowTokenHeaders:
    """The token headers and the Airflow of each; `is_ours` tells whether a token is for this server."""

    instances: Mapping[str, str] = field(default_factory=dict[str, str])
    is_ours: Callable[[str], bool] = _is_not_ours

    def extract(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the token of each instance, from these headers (lower-case names).

        Raises InvalidArgumentsError for a token that no instance takes, that is malformed, that comes twice, or that is
        for this server, since Airflow must not get that one.
        """
        tokens: dict[str, str] = {}
        for name, value in headers:
            if not name.replace("_", "-").startswith(_PREFIX):
                continue
            if name not in self.instances:
                names = ", ".join(sorted(self.instances)) or "none: Airflow is asked in this server's own name"
                raise InvalidArgumentsError(f"{name[:60]} is not taken here; what is: {names}.")
            if self.instances[name] in tokens:
                raise InvalidArgumentsError(f"{name} came twice: send one token.")
            if not is_token(token := value.strip()):
                raise InvalidArgumentsError(f"{name} must be one token, visible ASCII characters without spaces.")
            if self.is_ours(token):
                raise InvalidArgumentsError(
                    f"{name} holds a token for this server. Get one from Airflow, as by a POST to its /auth/token."
                )
            tokens[self.instances[name]] = token
        return tokens
