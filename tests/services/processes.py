"""nginx and Redis as processes of a test, on loopback, with everything they write in the test's folder."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.retry import Retry

NGINX = Path(__file__).parents[2] / "deploy" / "nginx.conf"
PATIENCE = 60  # seconds


def program(name: str) -> str:
    """The path of a program that these tests need."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    if found is None:
        pytest.fail(f"{name} is not installed; `make test-services` installs it where it may.", pytrace=False)
    return found


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Store:
    """A Redis that can be stopped and started again on the same port."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For AIRFLOW_MCP_REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        """A client of it that waits until it answers."""
        patient = Retry(ConstantBackoff(0.1), PATIENCE * 10)  # pyright: ignore[reportArgumentType]
        return Redis(port=self.port, retry=patient, retry_on_error=[NotConnected])

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        log = (self.folder / "redis.log").open("ab")
        with log:
            self.process = subprocess.Popen([*command, str(self.folder)], stdout=log, stderr=log)
        with self.client() as client:
            assert client.ping()

    def stop(self) -> None:
        """End it; what it held is gone."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None


@contextmanager
def redis(folder: Path) -> Generator[Store]:
    """A running Redis for the block."""
    store = Store(free_port(), folder)
    try:
        store.start()
        yield store
    finally:
        store.stop()


@contextmanager
def nginx(folder: Path, replicas: Sequence[str]) -> Generator[str]:
    """The address of an nginx with deploy/nginx.conf before these replicas ("127.0.0.1:1234"), for the block.

    What is left out is what needs a certificate, or Docker's names.
    """
    port = free_port()
    kept = [line for line in NGINX.read_text().splitlines() if not re.match(r"\s*(?:resolver|ssl_|http2)", line)]
    text = "\n".join(kept).replace("listen 8443 ssl;", f"listen 127.0.0.1:{port};").replace("8080", str(free_port()))
    servers = "".join(f"server {one} max_fails=2 fail_timeout=10s;\n" for one in replicas)
    text, times = re.subn(r"server server:8765 .*", servers, text)
    assert times == 1
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in names)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log {folder}/access.log;\n{paths}{text.replace('mcp.example.com', '127.0.0.1')}\n}}\n"
    )
    process = subprocess.Popen([program("nginx"), "-c", str(config), "-p", str(folder), "-e", f"{folder}/error.log"])
    try:
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=8), trust_env=False) as patient:
            assert patient.get(f"http://127.0.0.1:{port}/healthz").status_code == 404  # for probes inside alone
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)
