"""Who calls, and what the request leaves out of its own permissions: the SDK's token and our headers as a Caller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken

from airflow_mcp.airflow.caller_credentials import CallerCredentials
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.fair_share import SOLE_HOLDER
from airflow_mcp.http_tokens import LOCAL
from airflow_mcp.policy.narrowing import UNRESTRICTED, Narrowing
from airflow_mcp.server.telemetry.logs import get_trace_ids, http_request_id

READ_ONLY = "x-airflow-mcp-read-only"
TOOLSETS = "x-airflow-mcp-toolsets"
INSTANCE = "x-airflow-mcp-instance"
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
_OURS = "airflowmcp"  # in a header's name without its marks: what a proxy or a client made of one of ours, too
_LONGEST = 2_000  # characters of a value
_NOT_A_LETTER = re.compile("[^a-z0-9]+")


class Identity(AccessToken):
    """A token that was accepted: who that is to policy. `roles` as "role:NAME" and "scope:NAME"."""

    name: str
    roles: tuple[str, ...] = ()
    issued: bool = False  # whether an OAuth issuer made it, so that it can be exchanged there


@dataclass(frozen=True)
class RequestNarrowing:
    """What one request's headers leave of its caller's permissions, and the Airflow tokens that they bring."""

    narrowing: Narrowing = UNRESTRICTED
    instances: frozenset[str] | None = None
    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    share: str = SOLE_HOLDER  # whose share of the places at an Airflow the request takes


request_narrowing: ContextVar[RequestNarrowing] = ContextVar("airflow_mcp_narrowed", default=RequestNarrowing())  # noqa: B039 - frozen


def get_caller() -> Caller:
    """Who calls: whom the accepted token names; without one, over stdio or on loopback, the local user."""
    asked = request_narrowing.get()
    match get_access_token():
        case None:
            name, roles, credentials = LOCAL, (), CallerCredentials(tokens=asked.tokens, share=asked.share)
        case Identity(name=name, roles=roles, token=token, issued=issued):
            credentials = CallerCredentials(True, token if issued else "", asked.tokens, asked.share)
        case other:
            raise TypeError(f"a token was accepted by {type(other).__name__}, which names nobody")
    return Caller(
        name,
        roles,
        narrowing=asked.narrowing,
        instances=asked.instances,
        http_request_id=http_request_id.get(),
        trace_id=get_trace_ids().get("trace_id", ""),
        credentials=credentials,
    )


def read_narrowing(
    headers: Iterable[tuple[str, str]], toolsets: frozenset[str], instances: Iterable[str]
) -> RequestNarrowing:
    """What these headers (lower-case names) leave; a header that comes twice narrows twice.

    Raises InvalidArgumentsError for a name or value that means nothing: an unreadable narrowing must not pass for none.
    """
    read_only = False
    chosen: dict[str, frozenset[str] | None] = {TOOLSETS: None, INSTANCE: None}
    known = {TOOLSETS: toolsets, INSTANCE: frozenset(instances)}
    for name, value in headers:
        if _OURS not in _NOT_A_LETTER.sub("", name):
            continue
        if len(value) > _LONGEST:
            raise InvalidArgumentsError(f"{name[:60]} has more than {_LONGEST} characters.")
        if name == READ_ONLY:
            if value.strip().lower() not in _YES | _NO:
                wrong = repr(value[:40]) if value.strip() else "an empty value"
                raise InvalidArgumentsError(f"X-Airflow-MCP-Read-Only must be true or false, not {wrong}.")
            read_only = read_only or value.strip().lower() in _YES
        elif name in chosen:
            words = frozenset(word.strip() for word in value.split(",") if word.strip())
            if not words or not words <= known[name]:
                wrong = ", ".join(sorted(words - known[name]))[:80] or "an empty value"
                there = ", ".join(sorted(known[name]))
                raise InvalidArgumentsError(f"{name}: {wrong} is not among {there}.")
            before = chosen[name]
            chosen[name] = words if before is None else before & words
        else:
            raise InvalidArgumentsError(
                f"{name[:60]} means nothing here; what narrows is {READ_ONLY}, {TOOLSETS}, {INSTANCE}, with hyphens."
            )
    return RequestNarrowing(Narrowing(read_only, chosen[TOOLSETS]), chosen[INSTANCE])
