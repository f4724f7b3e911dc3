"""Pages in a browser, other names, floods and oversized requests stop at the gate, each with a sentence."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.http.serving import Served, serving
from tests.http.test_metrics import counts_of
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"Accept": "application/json, text/event-stream", "Authorization": "Bearer token-of-alice"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost:80x", ""])
def test_a_name_that_the_operator_did_not_give_is_refused_in_words(server: Served, host: str) -> None:
    answer = server.request("POST", "/mcp", json=PING, headers={**ACCEPT, "Host": host})
    assert answer.status_code == 421
    assert "AIRFLOW_MCP_HTTP_ALLOWED_HOSTS" in answer.json()["error"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "https://127.0.0.1"]
)
def test_a_page_from_elsewhere_is_refused_in_words(server: Served, origin: str) -> None:
    answer = server.request("POST", "/mcp", json=PING, headers={**ACCEPT, "Origin": origin})
    assert answer.status_code == 403
    assert "AIRFLOW_MCP_HTTP_ALLOWED_ORIGINS" in answer.json()["error"]


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("LOCALHOST:8000", "HTTP://LocalHost:3000"),
        ("LocalHost", "http://LOCALHOST"),
        ("MCP.Example.com", "https://chat.EXAMPLE.com"),
        ("mcp.example.com", "HTTPS://CHAT.example.com"),
    ],
)
async def test_host_and_origin_are_compared_in_letters_of_any_case(
    airflow: FakeAirflow, tmp_path: Path, host: str, origin: str
) -> None:
    """RFC 9110, 4.2.3: scheme and host are case-insensitive, also as the operator writes them."""
    options = ("--allowed-host", "MCP.example.com", "--allowed-origin", "https://Chat.example.com")
    with serving(airflow, tmp_path, *options) as served:
        async with served.assistant(headers={"Host": host, "Origin": origin}) as someone:
            assert (await someone.ask("list_dags"))["total"] == 2
        other = served.request("POST", "/mcp", json=PING, headers={**ACCEPT, "Host": f"{host}.evil.example"})
        assert other.status_code == 421


def test_of_several_origins_each_must_be_one_that_is_accepted(server: Served) -> None:
    origins = [*ACCEPT.items(), ("Origin", "http://localhost"), ("Origin", "https://evil.example")]
    assert server.request("POST", "/mcp", json=PING, headers=origins).status_code == 403


def test_the_operator_is_told_of_each_kind_of_refusal_once_a_minute(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path) as served:
        for _ in range(3):
            served.request("POST", "/mcp", json=PING, headers={**ACCEPT, "Host": "evil.example"})
            served.request("POST", "/mcp", json=PING, headers={**ACCEPT, "X-Airflow-MCP-Readonly": "true"})
        served.hear("x-airflow-mcp-readonly means nothing")
    told = [line for line in served.said if "a request was refused" in line]
    assert len(told) == 2
    assert told[0].startswith("airflow-mcp: WARNING a request was refused (421): Host 'evil.example'")


def test_names_and_origins_that_the_operator_gives_are_accepted(airflow: FakeAirflow, tmp_path: Path) -> None:
    options = ("--allowed-host", "mcp.example.com", "--allowed-origin", "https://chat.example.com")
    with serving(airflow, tmp_path, *options) as served:
        named = {**ACCEPT, "Host": "mcp.example.com", "Origin": "https://chat.example.com"}
        assert served.request("POST", "/mcp", json=PING, headers=named).status_code not in (403, 421)
        other = served.request("POST", "/mcp", json=PING, headers={**named, "Host": "mcp.example.com:9"})
        assert other.status_code == 421


def test_a_body_and_headers_beyond_their_limit_are_refused(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path, http_max_body="2048") as served:
        body = {**PING, "params": {"filler": "x" * 4096}}
        assert served.request("POST", "/mcp", json=body, headers=ACCEPT).status_code == 413
        large = {**ACCEPT, "X-Large": "x" * 100_000}
        assert served.request("POST", "/mcp", json=PING, headers=large).status_code == 431
        assert served.request("GET", "/healthz").status_code == 200


def test_more_requests_in_a_minute_than_are_accepted_are_told_when_to_come_back(
    airflow: FakeAirflow, tmp_path: Path
) -> None:
    with serving(airflow, tmp_path, http_per_minute="3") as served:
        answers = [served.request("POST", "/mcp", json=PING, headers=ACCEPT) for _ in range(4)]
        assert [answer.status_code == 429 for answer in answers] == [False, False, False, True]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert "Try again in" in answers[-1].json()["error"]
        assert served.request("GET", "/healthz").status_code == 200


@pytest.mark.parametrize(("proxies", "refused"), [("127.0.0.1", [False, False, True]), ("", [False, False, False])])
def test_what_a_proxy_forwards_is_believed_of_those_that_the_operator_names(
    airflow: FakeAirflow, tmp_path: Path, proxies: str, refused: list[bool]
) -> None:
    """Whoever is believed has one count an address; whoever is not cannot escape the count by inventing addresses."""
    settings = {"http_trusted_proxies": proxies} if proxies else {}
    limit = "1" if proxies else "3"
    with serving(airflow, tmp_path, http_per_minute=limit, **settings) as served:
        seen: list[bool] = []
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
            headers = {**ACCEPT, "X-Forwarded-For": address}
            seen.append(served.request("POST", "/mcp", json=PING, headers=headers).status_code == 429)
        assert seen == refused
        another = served.request("POST", "/mcp", json=PING, headers={**ACCEPT, "X-Forwarded-For": "192.0.2.3"})
        assert (another.status_code == 429) is not bool(proxies)


LINE = b"GET /.well-known/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "head",
    [
        LINE + b"X-Large: " + b"x" * 60_000 + b"\r\n\r\n",
        LINE + b"".join(b"X-%d: x\r\n" % number for number in range(5_000)) + b"\r\n",
        LINE + b"X-Large: " + b"x" * 60_000,  # and no end
        LINE.replace(b"nothing", b"x" * 60_000) + b"\r\n",
        LINE.replace(b"nothing", b"?" + b"x" * 60_000) + b"\r\n",
    ],
)
def test_headers_are_limited_as_a_whole_even_if_they_come_at_once(server: Served, head: bytes) -> None:
    answer = sent_raw(server, head)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"have more than 32 KiB" in answer
    assert server.request("GET", "/healthz").status_code == 200


def test_headers_within_the_limit_pass_in_many_pieces_and_behind_another_request(server: Served) -> None:
    almost = LINE + b"X-Large: " + b"x" * 32_000 + b"\r\nConnection: close\r\n\r\n"
    assert b" 404 " in sent_raw(server, *(almost[at : at + 1000] for at in range(0, len(almost), 1000)))
    answers = sent_raw(server, LINE + b"\r\n" + almost)
    assert answers.count(b"HTTP/1.1 404 ") == 2


def test_what_cannot_be_read_is_counted_and_said_once(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path, http_per_minute="3") as served:
        answers = [sent_raw(served, b"GET / HTTP/1.1\r\nno header\r\n\r\n") for _ in range(4)]
        assert [answer.split()[1] for answer in answers] == [b"400", b"400", b"400", b"429"]
        served.hear("a request was refused (400): This is no request of HTTP/1.1")
        upgrade = LINE + b"Connection: upgrade, close\r\nUpgrade: websocket\r\n\r\n"
        assert b" 429 " in sent_raw(served, upgrade)
    assert sum("HTTP/1.1 that can be read" in line for line in served.said) == 1
    assert "Invalid HTTP request" not in served.stderr
    assert "upgrade" not in served.stderr


def sent_raw(served: Served, *pieces: bytes) -> bytes:
    """All that comes back until the connection ends."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        for piece in pieces:
            plain.sendall(piece)
        received = b""
        while more := plain.recv(65_536):
            received += more
        return received


async def test_sessions_that_only_listen_have_a_limit_of_their_own_and_take_no_place_of_calls(
    airflow: FakeAirflow, tmp_path: Path
) -> None:
    """With one call at once there are sixteen ears: the seventeenth is refused, and a call is answered all the same."""
    with serving(airflow, tmp_path, http_max_calls="1") as served:
        async with AsyncExitStack() as stack:
            ears = [await stack.enter_async_context(listening(served)) for _ in range(17)]
            assert [ear.status_code for ear in ears] == [200] * 16 + [503]
            async with served.assistant() as someone:
                assert (await someone.ask("list_dags"))["total"] == 2
        assert counts_of(served)["requests_refused_total{busy}"] == 1


@asynccontextmanager
async def listening(served: Served) -> AsyncGenerator[httpx2.Response]:
    """A session of the older protocol, with its stream from the server open for the block."""
    accept = {"Accept": "application/json, text/event-stream"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "ear", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    async with httpx2.AsyncClient(base_url=served.url, headers=accept, timeout=60, trust_env=False) as http:
        session = (await http.post("/mcp", json=body)).headers["mcp-session-id"]
        async with http.stream("GET", "/mcp", headers={"Mcp-Session-Id": session}) as ear:
            yield ear
