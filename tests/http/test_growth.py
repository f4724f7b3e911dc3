"""What a stranger or a caller sends costs in proportion to its size: twice as much costs about twice the time.

Measured is CPU time of the thread that serves, of an input beside one of twice its size, and the best of several tries:
what grows with the square would cost four times as much.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from airflow_mcp.http_tokens import hash_token
from airflow_mcp.server.http.serve import build_application
from airflow_mcp.settings.http import Token
from airflow_mcp.settings.settings import Settings

pytestmark = pytest.mark.anyio
MODERN = "2026-07-28"
ALICE = ("authorization", "Bearer token-of-alice")
PLAIN = {"host": "127.0.0.1", "content-type": "application/json", "accept": "application/json, text/event-stream"}
FILLERS = ("eyJ-", "a", "password", ", ", "a=b,", "1.", "://a:b", "x-airflow-mcp-", "***=")
HEADERS = 14_000  # bytes: twice as many still pass
BODY = 20_000
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "one", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Sender:
    """Sends requests to an application in this process."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def send(self, headers: list[tuple[str, str]], body: bytes = b"", path: str = "/mcp", query: str = "") -> int:
        """The status of the answer to one POST."""
        status = 0
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 1),
            "state": {},
        }
        await self._app(scope, receive, send)
        return status


@asynccontextmanager
async def serving_here() -> AsyncGenerator[Sender]:
    """A server whose caller alice brings her own Airflow token; no Airflow is reached."""
    settings = Settings(
        url="http://127.0.0.1:9",
        identity="caller",
        tokens={"alice": Token(sha256=hash_token("token-of-alice"))},
        http_per_minute=1_000_000,
        shared_key=SecretStr(""),
    )
    app = ProxyHeadersMiddleware(build_application(settings), ["127.0.0.1"])  # pyright: ignore[reportArgumentType]
    begun, end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        if not begun.is_set():
            return {"type": "lifespan.startup"}
        await end.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        (begun if "startup" in message["type"] else ended).set()

    life = asyncio.create_task(app({"type": "lifespan", "state": {}}, receive, send))  # pyright: ignore
    await begun.wait()
    try:
        yield Sender(app)  # pyright: ignore[reportArgumentType]
    finally:
        end.set()
        await life


async def growth(send: Callable[[int], Any], size: int) -> float:
    """How many times as much CPU an input of twice the size costs, beside a millisecond for chance."""
    costs: dict[int, float] = {}
    for number in (size, 2 * size):
        for _ in range(3):
            began = time.thread_time()
            await send(number)
            costs[number] = min(costs.get(number, 60.0), time.thread_time() - began)
    return costs[2 * size] / (costs[size] + 0.001)


def filled(filler: str, size: int) -> str:
    return (filler * (size // len(filler) + 1))[:size].strip() or "x"


NAMES = (
    "host", "origin", "authorization", "x-request-id", "traceparent", "tracestate", "x-forwarded-for",
    "x-forwarded-proto", "cookie", "accept", "content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method",
    "mcp-name", "x-airflow-token", "x-airflow-mcp-toolsets", "x-airflow-mcp-read-only", "x-airflow-mcp-instance",
    "user-agent",
)  # fmt: skip


@pytest.mark.parametrize("known", [False, True])
async def test_headers_paths_and_queries_cost_in_proportion_to_their_size(known: bool) -> None:
    """Those of strangers, and those of a caller."""
    headers = [*PLAIN.items(), *([ALICE] if known else [])]

    def request(name: str, filler: str, size: int) -> tuple[list[tuple[str, str]], str, str]:
        text = filled(filler, size)
        match name:
            case "many headers":
                return [*headers, *((f"x-{number}", filler) for number in range(size // 16))], "/mcp", ""
            case "a name":
                return [*headers, (f"x-airflow-mcp-{text}", "x")], "/mcp", ""
            case "the path":
                return headers, f"/{text}", ""
            case "the query":
                return headers, "/mcp", text
            case "authorization":
                return [*PLAIN.items(), (name, f"Bearer {text}")], "/mcp", ""
            case _:
                return [*((dict(headers) | {name: text}).items())], "/mcp", ""

    async with serving_here() as sender:
        for name, filler in product((*NAMES, "many headers", "a name", "the path", "the query"), FILLERS):

            async def send(size: int, name: str = name, filler: str = filler) -> None:
                sent, path, query = request(name, filler, size)
                await sender.send(sent, path=path, query=query)

            ratio = await growth(send, HEADERS)
            assert ratio < 3, f"{name}: twice as much of {filler!r} costs {ratio:.1f} times as much"


def called(method: str, params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


BODIES: dict[str, Callable[[str], tuple[str, str, bytes]]] = {
    "the name of a tool": lambda text: ("tools/call", text[:100], called("tools/call", tool(text))),
    "the name of an argument": lambda text: ("tools/call", "get_dag", called("tools/call", tool("get_dag", {text: 1}))),
    "a list of arguments": lambda text: (
        "tools/call",
        "get_dag",
        called("tools/call", tool("get_dag", {f"{text[:8]}{number}": text[:8] for number in range(len(text) // 20)})),
    ),
    "an argument of a denied tool": lambda text: (
        "tools/call",
        "delete_pool",
        called("tools/call", tool("delete_pool", {"pool_name": text})),
    ),
    "an argument that is forwarded": lambda text: (
        "tools/call",
        "call_tool",
        called("tools/call", tool("call_tool", {"tool": text, "arguments": {text: text}})),
    ),
    "a question": lambda text: ("tools/call", "find_tools", called("tools/call", tool("find_tools", {"query": text}))),
    "an address": lambda text: ("tools/call", "resolve_url", called("tools/call", tool("resolve_url", {"url": text}))),
    "the address of a resource": lambda text: (
        "resources/read",
        text[:100],
        called("resources/read", {"uri": f"airflow://{text}", "_meta": META}),
    ),
    "a prompt": lambda text: (
        "prompts/get",
        text[:100],
        called("prompts/get", {"name": text, "arguments": {text: text}, "_meta": META}),
    ),
    "a method": lambda text: (text[:100], "", called(text, {"_meta": META})),
    "no JSON": lambda text: ("tools/call", "get_dag", text.encode()),
    "depth": lambda text: ("tools/call", "get_dag", b"[" * len(text)),
}


def tool(name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "arguments": arguments or {}, "_meta": META}


async def test_bodies_cost_in_proportion_to_their_size() -> None:
    async with serving_here() as sender:
        for what, filler in product(BODIES, FILLERS[:3]):

            async def send(size: int, what: str = what, filler: str = filler) -> None:
                method, name, body = BODIES[what](filled(filler, size))
                modern = [("mcp-protocol-version", MODERN), ("mcp-method", method)]
                named = [("mcp-name", name)] if name else []
                await sender.send([*PLAIN.items(), ALICE, *modern, *named], body)

            ratio = await growth(send, BODY)
            assert ratio < 3, f"{what}: twice as much of {filler!r} costs {ratio:.1f} times as much"
