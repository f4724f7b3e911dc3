"""The caller of a tool as a plain object, so that nothing below `server` depends on MCP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from airflow_mcp.airflow.caller_credentials import CallerCredentials
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.dispatch.registry.search import SearchResult
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.http_tokens import LOCAL
from airflow_mcp.policy.narrowing import UNRESTRICTED, Narrowing

# (done, total or None, message): reports progress to a client that asked for it.
Progress = Callable[[float, float | None, str], Awaitable[None]]


@dataclass(frozen=True)
class ApprovalAnswer:
    """A human's answer to an approval question.

    `claim_id` names the answer, so that it is used once; empty where it cannot come twice.
    """

    yes: bool
    words: str  # accept, decline, cancel
    claim_id: str = ""


@dataclass(frozen=True)
class ApprovalQuestion:
    """A question to a human, and the digest of the call and the targets that an answer is valid for."""

    text: str
    digest: str


# Asks the caller's human one question. Raises NotAllowedError where the client has no elicitation.
Ask = Callable[[ApprovalQuestion], Awaitable[ApprovalAnswer]]


# Finds tools for a question in plain words, among those that this caller may use.
SearchTools = Callable[[str], Awaitable[SearchResult]]


async def _ignore_progress(done: float, total: float | None, message: str) -> None:
    """Report nothing, for a client that asked for no progress."""


async def refuse_to_ask(question: ApprovalQuestion) -> ApprovalAnswer:
    """Raise NotAllowedError for a question where no human can be asked."""
    del question
    raise NotAllowedError(
        "Nothing was done: the operator wants a human to confirm this, and this client cannot show a question "
        '(MCP elicitation). Use a client that can, or ask the operator for confirm = "plan".'
    )


async def _find_nothing(query: str) -> SearchResult:
    del query
    return SearchResult()


@dataclass(frozen=True)
class Caller:
    """The caller of one call; `roles` as "role:NAME" and "scope:NAME".

    `instances` are the Airflows that it wants to see; None for all.
    """

    name: str = LOCAL
    roles: tuple[str, ...] = ()
    narrowing: Narrowing = UNRESTRICTED
    instances: frozenset[str] | None = None
    request_id: str = ""
    http_request_id: str = ""  # of the HTTP request that carried the call; empty over stdio
    trace_id: str = ""  # of the trace that the call belongs to, 32 hexadecimal digits (W3C Trace Context)
    progress: Progress = _ignore_progress
    ask: Ask = refuse_to_ask
    find: SearchTools = _find_nothing
    forwarder: Tool | None = None  # the forwarding tool that runs this one, such as call_tool
    names_instance: bool = False  # whether there are several Airflows, so that a call to make next must name one
    # The caller's own credentials for Airflow.
    credentials: CallerCredentials = field(default_factory=CallerCredentials, repr=False)
