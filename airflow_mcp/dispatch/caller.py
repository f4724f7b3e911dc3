"""Who is calling, as one plain object, so that nothing below `server` knows MCP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from airflow_mcp.airflow.caller_credentials import CallerCredentials
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.dispatch.registry.search import SearchResult
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.http_tokens import LOCAL
from airflow_mcp.policy.narrowing import UNRESTRICTED, Narrowing

# (done, total or None, message): shown to whoever asked for progress.
Progress = Callable[[float, float | None, str], Awaitable[None]]


@dataclass(frozen=True)
class ApprovalAnswer:
    """What a human answered. `claim_id` names the answer, so that it is used once; empty where it cannot come twice."""

    yes: bool
    words: str  # accept, decline, cancel
    claim_id: str = ""


@dataclass(frozen=True)
class ApprovalQuestion:
    """What a human is asked, and the digest of the call and targets that an answer to it is good for."""

    text: str
    digest: str


# Asks the caller's human one question. Raises NotAllowedError where the client cannot show one.
Ask = Callable[[ApprovalQuestion], Awaitable[ApprovalAnswer]]


# Finds tools for a question in plain words, among those that this caller may use.
SearchTools = Callable[[str], Awaitable[SearchResult]]


async def _ignore_progress(done: float, total: float | None, message: str) -> None:
    """Nobody asked for progress."""


async def refuse_to_ask(question: ApprovalQuestion) -> ApprovalAnswer:
    """Ask where no human can be asked. Raises NotAllowedError."""
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
    """One call's caller; `roles` as "role:NAME" and "scope:NAME", `instances` those it wants to see (None: all)."""

    name: str = LOCAL
    roles: tuple[str, ...] = ()
    narrowing: Narrowing = UNRESTRICTED
    instances: frozenset[str] | None = None
    request_id: str = ""
    http_request_id: str = ""  # of the HTTP request that brought the call; empty over stdio
    trace_id: str = ""  # of the trace that the call belongs to, 32 hexadecimal digits (W3C Trace Context)
    progress: Progress = _ignore_progress
    ask: Ask = refuse_to_ask
    find: SearchTools = _find_nothing
    forwarder: Tool | None = None  # the tool by which it runs this one
    names_instance: bool = False  # whether there are several Airflows, so that a call to make next must name its own
    credentials: CallerCredentials = field(
        default_factory=CallerCredentials, repr=False
    )  # what it brings to be itself at Airflow
