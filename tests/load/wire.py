"""HTTP/1.1 by hand over asyncio's streams, so that tests can send and break it byte by byte."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET, socket


@dataclass(frozen=True)
class Message:
    """A request or an answer as read: its first line, headers (lower-case names) and whole body."""

    first: str
    headers: Mapping[str, str]
    body: bytes


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The first line and the headers. Raises asyncio.IncompleteReadError where the connection ends before."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return first, {name.lower(): value.strip() for name, _, value in pairs}


async def read_message(reader: asyncio.StreamReader) -> Message:
    """One message with its body, by length or in chunks. Raises asyncio.IncompleteReadError where it is cut off."""
    first, headers = await read_head(reader)
    if headers.get("transfer-encoding") != "chunked":
        return Message(first, headers, await reader.readexactly(int(headers.get("content-length", 0))))
    pieces: list[bytes] = []
    while size := int(await reader.readline() or b"x", 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return Message(first, headers, b"".join(pieces))


def message(first: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """The bytes of a message; its length is added."""
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a TCP reset: what was not yet read at the other end is lost, and it sees an error."""
    plain: socket = writer.get_extra_info("socket")
    plain.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
