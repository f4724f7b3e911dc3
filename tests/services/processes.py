"""nginx and Redis as processes of a test, on free ports of loopback, with their files in the test's folder."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.retry import Retry

from tests.http.serving import PATIENCE

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
PASSWORD = "password-of-redis"
_AGAIN = 0.05  # seconds between two looks whether a process listens


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Store:
    """A Redis that can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        file = self._folder / "redis.conf"
        file.write_text(
            f"bind 127.0.0.1\nport {self._port}\nrequirepass {PASSWORD}\nsave ''\nappendonly no\ndir {self._folder}\n"
        )
        log = (self._folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(["redis-server", str(file)], stdout=log, stderr=log)
        with self.client(patient=True) as client:
            client.ping()

    def stop(self) -> None:
        """End it, and with it what it remembers."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def client(self, *, patient: bool = False) -> Redis:
        """A connection for the test's own eyes."""
        retry = Retry(ConstantBackoff(_AGAIN), int(PATIENCE / _AGAIN)) if patient else None
        return Redis.from_url(self.url, decode_responses=True, retry=retry, retry_on_error=[NoConnection])


@dataclass
class Balancer:
    """A running nginx."""

    url: str
    folder: Path

    def answered(self) -> Counter[str]:
        """How many requests to /mcp each replica got, by its address."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return Counter(line.split()[0] for line in lines if " /mcp " in line)


@contextmanager
def redis(folder: Path) -> Generator[Store]:
    """A Redis for the block."""
    store = Store(folder)
    store.start()
    try:
        yield store
    finally:
        store.stop()


@contextmanager
def nginx(folder: Path, replicas: Sequence[str]) -> Generator[Balancer]:
    """nginx with deploy/nginx.conf before these addresses, for the block.

    What is left out of it is what needs a certificate, or the names of containers.
    """
    port = free_port()
    kept = [
        line for line in CONFIGURATION.read_text().splitlines() if not re.match(r"\s*(?:resolver|ssl_|http2)", line)
    ]
    text = "\n".join(kept).replace("listen 8443 ssl;", f"listen 127.0.0.1:{port};").replace("8080", str(free_port()))
    servers = "".join(f"server {url.removeprefix('http://')} max_fails=2 fail_timeout=10s;\n" for url in replicas)
    text, times = re.subn(r"server server:8765 .*", servers, text)
    assert times == 1
    temporary = "".join(f"{name}_temp_path {name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    log = "log_format replicas '$upstream_addr $request_method $uri $status';\naccess_log access.log replicas;\n"
    (folder / "nginx.conf").write_text(
        f"pid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{log}{temporary}{text}\n}}\n"
    )
    # One process, in the foreground: it is this test's to end, and runs as whoever runs the test.
    options = ["-e", "stderr", "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off; master_process off;"]
    with (folder / "nginx.log").open("ab") as log_file:
        process = subprocess.Popen(["nginx", *options], stdout=log_file, stderr=log_file)
    try:
        while process.poll() is None and not listens(port):
            pass
        assert process.poll() is None, (folder / "nginx.log").read_text()
        yield Balancer(f"http://127.0.0.1:{port}", folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), _AGAIN):
            return True
    except OSError:
        return False
