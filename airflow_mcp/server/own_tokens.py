"""The Airflow tokens that a request's headers bring: read before anything else, and shown to nobody."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from airflow_mcp.airflow.identities.caller import HEADER
from airflow_mcp.airflow.identities.way import is_token
from airflow_mcp.errors import InvalidArgumentsError, SettingsError

_PREFIX = HEADER.lower()


def taken_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Header, in lower case, to instance, of those that take a caller's token; `headers` is the other way round.

    Raises SettingsError where one header would be for two Airflows.
    """
    taken: dict[str, str] = {}
    for instance, header in headers.items():
        other = taken.setdefault(header.lower(), instance)
        if other != instance:
            raise SettingsError(
                f"instances.{instance} and instances.{other} differ in upper and lower case alone, which headers such "
                f"as {header} do not tell apart: rename one."
            )
    return taken


def tokens_of(headers: Iterable[tuple[str, str]], taken: Mapping[str, str]) -> dict[str, str]:
    """Instance to token, of these headers (lower-case names).

    Raises InvalidArgumentsError for a token that nothing here takes, that cannot be one, that comes twice, or that is
    the one for this server: that one must not get to Airflow.
    """
    found: dict[str, str] = {}
    bearers: list[str] = []
    for name, value in headers:
        if name == "authorization":
            bearers.append(value.strip().partition(" ")[2].strip())
        elif name == _PREFIX or name.startswith(f"{_PREFIX}-"):
            if name not in taken:
                there = ", ".join(sorted(taken)) or "none: Airflow is asked in this server's own name"
                raise InvalidArgumentsError(f"{name[:60]} is not taken here; what is: {there}.")
            if taken[name] in found:
                raise InvalidArgumentsError(f"{name} came twice: send one token.")
            if not is_token(token := value.strip()):
                raise InvalidArgumentsError(f"{name} must be one token, visible ASCII characters without spaces.")
            found[taken[name]] = token
    for instance, token in found.items():
        if any(hmac.compare_digest(token.encode(), bearer.encode()) for bearer in bearers):
            raise InvalidArgumentsError(
                f"{HEADER} holds the token for this server, which is not sent to Airflow ({instance}): get one from "
                "Airflow, as with a POST to its /auth/token."
            )
    return found
