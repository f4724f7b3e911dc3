"""The body of a request costs what it holds, however it comes, and what comes behind an answer has an end."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from tests.http.serving import Served, accepted, serving
from tests.http.test_metrics import counts_of
from tests.unit.fake_airflow import FakeAirflow

TOKEN = b"Authorization: Bearer token-of-alice\r\n"
HEAD = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\nTransfer-Encoding: chunked\r\n"
)
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "chunks", "version": "1"}}
MEBIBYTE = 1_048_576


def chunked(body: bytes, size: int) -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def hello(padding: int) -> bytes:
    params = HELLO | {"_meta": {"padding": " " * padding}}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()


def status_of(served: Served, pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """The status that is answered, and how many bytes were taken until the connection ended."""
    host, port = served.url.removeprefix("http://").split(":")
    answer, taken = b"", 0
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        try:
            for piece in pieces:
                plain.sendall(piece)
                taken += len(piece)
        except OSError:
            pass  # it was ended meanwhile
        try:
            while more := plain.recv(65_536):
                answer += more
        except ConnectionResetError:
            pass
    return answer[9:12], taken


@pytest.mark.parametrize(
    ("padding", "size", "status"),
    [(100, 1, b"200"), (500_000, 256, b"200"), (500_000, 1_460, b"200"), (100_000, 1, b"400"), (500_000, 16, b"400")],
)
def test_body_in_many_tiny_chunks_is_refused_and_others_are_read(
    server: Served, padding: int, size: int, status: bytes
) -> None:
    before = counts_of(server, "token-of-alice").get("requests_refused_total{malformed}", 0)
    request = HEAD + TOKEN + b"Connection: close\r\n\r\n" + chunked(hello(padding), size)
    assert status_of(server, iter([request]))[0] == status
    after = counts_of(server, "token-of-alice").get("requests_refused_total{malformed}", 0)
    assert after - before == (status == b"400")


def test_rest_of_a_body_that_cannot_be_read_is_answered(server: Served) -> None:
    pieces = [HEAD + TOKEN + b"\r\n", b"5\r\nhello\r\n", b"no chunk\r\n"]
    assert status_of(server, iter(pieces))[0] == b"400"


@pytest.mark.parametrize("token", [b"", b"Authorization: Bearer of-nobody\r\n"])
def test_endless_body_behind_an_answer_ends_its_connection(airflow: FakeAirflow, tmp_path: Path, token: bytes) -> None:
    """A stranger's request is answered before its body is read, and the body may go on for ever."""
    with serving(airflow, tmp_path, config=accepted("alice", "token-of-alice")) as served:

        def endless() -> Iterator[bytes]:
            yield HEAD + token + b"\r\n"
            yield from repeat(b"10000\r\n" + b" " * 65_536 + b"\r\n", 1_000)

        _, taken = status_of(served, endless())
        assert taken < 30 * MEBIBYTE  # what the system holds on its way is part of it
        assert served.request("GET", "/healthz").status_code == 200
