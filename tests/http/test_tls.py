"""The server speaks TLS itself where the operator gives it a certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import httpx2
import pytest

from airflow_mcp.server.http.event_loop import HandshakeBoundLoop
from airflow_mcp.server.http.protocol import HEAD_SECONDS
from tests.http.serving import PATIENCE, serving
from tests.unit.certificates import Authority
from tests.unit.fake_airflow import FakeAirflow


def test_with_a_certificate_it_serves_https(airflow: FakeAirflow, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.sign("server")
    with serving(airflow, tmp_path, http_tls_cert=cert, http_tls_key=key) as served:
        assert served.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=authority.file)
        answer = httpx2.get(f"{served.url}/healthz", verify=trusting, timeout=PATIENCE, trust_env=False)
        assert answer.json() == {"status": "ok"}


def test_a_certificate_that_cannot_be_shown_ends_the_start_in_a_sentence(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (cert, key), (_, other) = authority.sign("server"), authority.sign("other")
    _, locked = authority.sign("locked", passphrase=b"a-passphrase")
    for wrong_cert, wrong_key in ((cert, other), (key, key), (cert, locked)):
        settings = {"http_tls_cert": wrong_cert, "http_tls_key": wrong_key}
        with (
            pytest.raises(AssertionError, match="must be files with a certificate and its private key") as caught,
            serving(None, tmp_path, **settings),
        ):
            pass
        assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(("which", "words"), [("http_tls_cert", "go together"), ("http_tls_key", "go together")])
def test_a_certificate_without_its_key_is_refused(tmp_path: Path, which: str, words: str) -> None:
    cert, _ = Authority(tmp_path).sign("server")
    with pytest.raises(AssertionError, match=words), serving(None, tmp_path, **{which: cert}):
        pass


class FastLoop(HandshakeBoundLoop):
    """The loop that serves, with a clock that a test moves on."""

    ahead = 0.0

    def time(self) -> float:
        """The seconds of the system's clock, and those that have been skipped."""
        return super().time() + self.ahead


def test_a_tls_handshake_has_as_long_as_headers(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).sign("server"))
    loop = FastLoop()

    async def end_of_a_silent_client() -> bytes:
        accepted = asyncio.Event()

        def protocol() -> asyncio.Protocol:
            accepted.set()
            return asyncio.Protocol()

        server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context, backlog=5)
        with socket.create_connection(server.sockets[0].getsockname(), timeout=PATIENCE) as client:
            client.setblocking(False)
            await accepted.wait()
            for _ in range(3):  # the turns in which the handshake begins
                await asyncio.sleep(0)
            loop.ahead = HEAD_SECONDS + 1
            end = await asyncio.wait_for(loop.sock_recv(client, 1), HEAD_SECONDS)  # asyncio's own bound is 60 s
        server.close()
        return end

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(end_of_a_silent_client()) == b""
