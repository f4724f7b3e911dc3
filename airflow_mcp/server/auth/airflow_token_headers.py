"""The Airflow tokens that a request's headers bring: read before anything else, and shown to nobody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from airflow_mcp.airflow.auth.auth_method import is_token
from airflow_mcp.airflow.auth.caller_token import HEADER
from airflow_mcp.errors import InvalidArgumentsError, SettingsError

_PREFIX = HEADER.lower()
_NAME = re.compile(r"[A-Za-z0-9-]+")  # what no client and no proxy leaves out


def map_token_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Header, in lower case, to instance, of those that take a caller's token; `headers` is the other way round.

    Raises SettingsError for what is no header, and where one would be for two Airflows.
    """
    taken: dict[str, str] = {}
    for instance, header in headers.items():
        if not _NAME.fullmatch(header):
            raise SettingsError(
                f"instances.{instance}: its callers' tokens come in a header that is named after it, with letters, "
                "digits and - alone: rename it."
            )
        other = taken.setdefault(header.lower(), instance)
        if other != instance:
            raise SettingsError(
                f"instances.{instance} and instances.{other} differ in upper and lower case alone, which headers such "
                f"as {header} do not tell apart: rename one."
            )
    return taken


def _is_not_ours(token: str) -> bool:
    del token
    return False


@dataclass(frozen=True)
class AirflowTokenHeaders:
    """Which headers bring tokens for which Airflow; `is_ours` says of a token whether it is for this server."""

    instances: Mapping[str, str] = field(default_factory=dict[str, str])
    is_ours: Callable[[str], bool] = _is_not_ours

    def extract(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Instance to token, of these headers (lower-case names).

        Raises InvalidArgumentsError for a token that nothing here takes, that cannot be one, that comes twice, or that
        is for this server: that one must not get to Airflow.
        """
        found: dict[str, str] = {}
        for name, value in headers:
            if not name.replace("_", "-").startswith(_PREFIX):
                continue
            if name not in self.instances:
                there = ", ".join(sorted(self.instances)) or "none: Airflow is asked in this server's own name"
                raise InvalidArgumentsError(f"{name[:60]} is not taken here; what is: {there}.")
            if self.instances[name] in found:
                raise InvalidArgumentsError(f"{name} came twice: send one token.")
            if not is_token(token := value.strip()):
                raise InvalidArgumentsError(f"{name} must be one token, visible ASCII characters without spaces.")
            if self.is_ours(token):
                raise InvalidArgumentsError(
                    f"{name} holds a token for this server. Get one from Airflow, as by a POST to its /auth/token."
                )
            found[self.instances[name]] = token
        return found
