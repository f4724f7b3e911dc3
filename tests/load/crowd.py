"""Callers that send prepared MCP requests of 2026-07-28 over connections they keep, with as little work as can be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.load.wire import Message, message, read_message

MODERN = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "crowd", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def prepared(tool: str, arguments: dict[str, Any], token: str = "") -> bytes:
    """The whole request of one tools/call, ready to be written to a connection."""
    params = {"name": tool, "arguments": arguments, "_meta": _META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    headers = {
        "Host": "127.0.0.1:1",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return message("POST /mcp HTTP/1.1", headers, body)


@dataclass(frozen=True)
class Answer:
    """What a caller got: the HTTP status, its headers, and the text of the body."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def rpc(self) -> dict[str, Any]:
        """The JSON-RPC response, out of JSON or an event stream."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            events = [line[5:] for line in self.text.splitlines() if line.startswith("data:") and line[5:].strip()]
            return json.loads(events[-1])
        return json.loads(self.text)

    @property
    def result(self) -> dict[str, Any]:
        """The call's structured answer. Fails the test where the call did not succeed."""
        result = self.rpc["result"]
        assert not result.get("isError"), self.words
        return result["structuredContent"]

    @property
    def succeeded(self) -> bool:
        """Whether the tool did what was asked."""
        return self.status == 200 and not self.rpc.get("result", {"isError": True}).get("isError")

    @property
    def words(self) -> str:
        """The sentence of a refusal or error, from whichever layer it comes."""
        told = self.rpc
        if "result" in told:
            return told["result"]["content"][0]["text"]
        return told["error"]["message"] if isinstance(told["error"], dict) else told["error"]


class Connection:
    """One kept connection to a server; calls on it go one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes) -> Answer:
        """Send one prepared request and read its answer whole."""
        self.writer.write(request)
        answer: Message = await read_message(self.reader)
        return Answer(int(answer.first.split()[1]), dict(answer.headers), answer.body.decode())


@asynccontextmanager
async def connection(url: str) -> AsyncGenerator[Connection]:
    """A connection to the server at this address, for the block."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=2**20)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def one_call(url: str, request: bytes) -> Answer:
    """One request over a connection of its own."""
    async with connection(url) as one:
        return await one.ask(request)
