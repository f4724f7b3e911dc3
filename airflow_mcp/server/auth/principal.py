"""The caller of a request, and how its headers narrow its permissions: the SDK's token and our headers as a Caller."""

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
_OURS = "airflowmcp"  # in a header's name without punctuation, so that ours are recognized however a proxy spells them
_LONGEST = 2_000  # characters of a value
_NOT_A_LETTER = re.compile("[^a-z0-9]+")


class Identity(AccessToken):
    """An accepted token, with the name and roles of its bearer for policy; `roles` as "role:NAME" and "scope:NAME"."""

    name: str
    roles: tuple[str, ...] = ()
    issued: bool = False  # whether an OAuth issuer made the token, and can exchange it


@dataclass(frozen=True)
class RequestNarrowing:
    """The narrowing of a caller's permissions by the headers of one request, and the Airflow tokens in them."""

    narrowing: Narrowing = UNRESTRICTED
    instances: frozenset[str] | None = None
    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    share: str = SOLE_HOLDER  # the holder whose share of an Airflow's concurrency limit the request uses


request_narrowing: ContextVar[RequestNarrowing] = ContextVar("airflow_mcp_narrowed", default=RequestNarrowing())  # noqa: B039 - frozen


def get_caller() -> Caller:
    """Return the caller that the accepted token names; without a token, over stdio or on loopback, the local user."""
    request = request_narrowing.get()
    match get_access_token():
        case None:
            name, roles, credentials = LOCAL, (), CallerCredentials(tokens=request.tokens, share=request.share)
        case Identity(name=name, roles=roles, token=token, issued=issued):
            credentials = CallerCredentials(True, token if issued else "", request.tokens, request.share)
        case unknown:
            raise TypeError(f"a token was accepted by {type(unknown).__name__}, which names nobody")
    return Caller(
        name,
        roles,
        narrowing=request.narrowing,
        instances=request.instances,
        http_request_id=http_request_id.get(),
        trace_id=get_trace_ids().get("trace_id", ""),
        credentials=credentials,
    )


def read_narrowing(
    headers: Iterable[tuple[str, str]], toolsets: frozenset[str], instances: Iterable[str]
) -> RequestNarrowing:
    """Return the narrowing that these headers (lower-case names) ask for; a header that comes twice narrows twice.

    Raises InvalidArgumentsError for an unknown name or value: an unreadable narrowing must not pass for none.
    """
    read_only = False
    selections: dict[str, frozenset[str] | None] = {TOOLSETS: None, INSTANCE: None}
    allowed_words = {TOOLSETS: toolsets, INSTANCE: frozenset(instances)}
    for name, value in headers:
        if _OURS not in _NOT_A_LETTER.sub("", name):
            continue
        if len(value) > _LONGEST:
            raise InvalidArgumentsError(f"{name[:60]} has more than {_LONGEST} characters.")
        if name == READ_ONLY:
            if value.strip().lower() not in _YES | _NO:
                rejected = repr(value[:40]) if value.strip() else "an empty value"
                raise InvalidArgumentsError(f"X-Airflow-MCP-Read-Only must be true or false, not {rejected}.")
            read_only = read_only or value.strip().lower() in _YES
        elif name in selections:
            words = frozenset(word.strip() for word in value.split(",") if word.strip())
            if not words or not words <= allowed_words[name]:
                rejected = ", ".join(sorted(words - allowed_words[name]))[:80] or "an empty value"
                choices = ", ".join(sorted(allowed_words[name]))
                raise InvalidArgumentsError(f"{name}: {rejected} is not among {choices}.")
            earlier = selections[name]
            selections[name] = words if earlier is None else earlier & words
        else:
            raise InvalidArgumentsError(
                f"{name[:60]} means nothing here; what narrows is {READ_ONLY}, {TOOLSETS}, {INSTANCE}, with hyphens."
            )
    return RequestNarrowing(Narrowing(read_only, selections[TOOLSETS]), selections[INSTANCE])
