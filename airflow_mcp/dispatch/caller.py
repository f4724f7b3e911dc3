"""Who is calling, as one plain object, so that nothing below `server` knows MCP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from airflow_mcp.airflow.callers import Presented
from airflow_mcp.catalog.load import Tool
from airflow_mcp.dispatch.registry.search import Found
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.policy.narrow import WHOLE, Narrowing
from airflow_mcp.tokens import LOCAL

# (done, total or None, message): shown to whoever asked for progress.
Progress = Callable[[float, float | None, str], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """What a human answered. `once` names the answer, so that it is used once; empty where it cannot come twice."""

    yes: bool
    words: str  # accept, decline, cancel
    once: str = ""


@dataclass(frozen=True)
class Question:
    """What a human is asked, and the digest of the call and targets that an answer to it is good for."""

    text: str
    digest: str


# Asks the caller's human one question. Raises NotAllowedError where the client cannot show one.
Ask = Callable[[Question], Awaitable[Answer]]


# Finds tools for a question in plain words, among those that this caller may use.
Find = Callable[[str], Awaitable[Found]]


async def _unheard(done: float, total: float | None, message: str) -> None:
    """Nobody asked for progress."""


async def nobody(question: Question) -> Answer:
    """Ask where no human can be asked. Raises NotAllowedError."""
    del question
    raise NotAllowedError(
        "Nothing was done: the operator wants a human to confirm this, and this client cannot show a question "
        '(MCP elicitation). Use a client that can, or ask the operator for confirm = "plan".'
    )


async def _nothing(query: str) -> Found:
    del query
    return Found()


@dataclass(frozen=True)
class Caller:
    """One call's caller; `roles` as "role:NAME" and "scope:NAME", `instances` those it wants to see (None: all)."""

    name: str = LOCAL
    roles: tuple[str, ...] = ()
    narrowing: Narrowing = WHOLE
    instances: frozenset[str] | None = None
    request_id: str = ""
    http_request_id: str = ""  # of the HTTP request that brought the call; empty over stdio
    trace_id: str = ""  # of the trace that the call belongs to, 32 hexadecimal digits (W3C Trace Context)
    progress: Progress = _unheard
    ask: Ask = nobody
    find: Find = _nothing
    through: Tool | None = None  # the tool by which it runs this one
    names_instance: bool = False  # whether there are several Airflows, so that a call to make next must name its own
    presented: Presented = field(default_factory=Presented, repr=False)  # what it brings to be itself at Airflow
