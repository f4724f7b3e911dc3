"""A stand-in for a company's forward proxy: whole addresses, tunnels (CONNECT), and a user that it may want."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx2


@dataclass
class ForwardProxy:
    """What went through it, as "METHOD target"; `user` is "name:password" of who may use it, empty for everyone."""

    user: str = ""
    url: str = ""
    seen: list[str] = field(default_factory=list)

    def admits(self, handler: BaseHTTPRequestHandler) -> bool:
        wanted = f"Basic {base64.b64encode(self.user.encode()).decode()}"
        return not self.user or handler.headers.get("Proxy-Authorization") == wanted


@contextmanager
def forwarding(proxy: ForwardProxy) -> Generator[ForwardProxy]:
    """The same proxy, served on loopback for the block."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the tests read `seen`."""

        def do_GET(self) -> None:
            if not self._admitted():
                return
            answer = httpx2.get(self.path, headers=self._own_headers(), trust_env=False)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.send_header("Content-Type", answer.headers.get("content-type", ""))
            self.end_headers()
            self.wfile.write(answer.content)

        def do_CONNECT(self) -> None:
            if not self._admitted():
                return
            there = urlsplit(f"//{self.path}")
            with socket.create_connection((there.hostname or "", there.port or 0)) as other:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pour, args=(other, self.connection))
                back.start()
                _pour(self.connection, other)
                back.join()
            self.close_connection = True

        def _admitted(self) -> bool:
            proxy.seen.append(f"{self.command} {self.path}")
            if not proxy.admits(self):
                self.send_response(407)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return False
            return True

        def _own_headers(self) -> dict[str, str]:
            return {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        user = f"{proxy.user}@" if proxy.user else ""
        proxy.url = f"http://{user}127.0.0.1:{server.server_address[1]}"
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    """Everything that comes, until nothing more does."""
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side has gone first
