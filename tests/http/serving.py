"""A server process of ours over HTTP, and the clients of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx2
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client

from airflow_mcp.http_tokens import hash_token
from tests.unit.assistant import Assistant
from tests.unit.fake_airflow import FakeAirflow

SERVE = "-m airflow_mcp serve --transport http --port 0"
PATIENCE = 60.0  # seconds after which a client gives up: no test measures time, and none may hang for ever


@dataclass
class Served:
    """One running server."""

    url: str
    process: subprocess.Popen[str]
    said: list[str]
    spoke: threading.Condition = field(default_factory=threading.Condition)

    def hear(self, words: str, since: int = 0) -> str:
        """The first line with these words among those of stderr from number `since` on; it is waited for."""

        def lines() -> list[str]:
            return [line for line in self.said[since:] if words in line]

        with self.spoke:
            assert self.spoke.wait_for(lines, PATIENCE), f"nothing of {words!r} in {self.said[since:]}"
            return lines()[0]

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return "".join(self.said)

    def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """One plain request, as a browser or a probe makes it."""
        return httpx2.request(method, f"{self.url}{path}", timeout=PATIENCE, trust_env=False, **more)

    @asynccontextmanager
    async def assistant(
        self,
        token: str = "",
        *,
        mode: str = "auto",
        headers: Mapping[str, str] | None = None,
        human: ElicitationFnT | None = None,
    ) -> AsyncGenerator[Assistant]:
        """An assistant connected over HTTP, bearing that token.

        A test may change `headers`: each request is sent with what they are then.
        """

        async def add_headers(request: httpx2.Request) -> None:
            request.headers.update(headers or {})

        sent = {"Authorization": f"Bearer {token}"} if token else {}
        hooks = {"request": [add_headers]}
        async with httpx2.AsyncClient(headers=sent, timeout=PATIENCE, trust_env=False, event_hooks=hooks) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=mode, elicitation_callback=human, cache=None) as client:  # pyright: ignore[reportArgumentType]
                yield Assistant(client)


@contextmanager
def serving(
    airflow: FakeAirflow | None,
    folder: Path,
    *options: str,
    config: str = "",
    program: str = SERVE,
    **settings: str,
) -> Generator[Served]:
    """A server before that Airflow, with the settings of `config` (TOML) and `settings` (variables), for the block."""
    environment = environment_of(airflow, folder, config, settings)
    command = [sys.executable, *program.split(), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment)
    assert process.stderr is not None
    said: list[str] = []
    url = ""
    for line in process.stderr:
        said.append(line)
        if "serving http" in line:
            url = line.split("serving ")[1].split("/mcp")[0]
            break
    served = Served(url, process, said)

    def listen(stream: IO[str]) -> None:
        for line in stream:
            with served.spoke:
                said.append(line)
                served.spoke.notify_all()

    listener = threading.Thread(target=listen, args=(process.stderr,))
    listener.start()
    try:
        assert url, f"the server did not start: {''.join(said)}"
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            listener.join()
            process.stderr.close()


def environment_of(
    airflow: FakeAirflow | None, folder: Path, config: str, settings: Mapping[str, str]
) -> dict[str, str]:
    """The variables of a server or a command; nothing of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    if config:
        file = folder / "airflow-mcp.toml"
        file.write_text(config)
        kept["AIRFLOW_MCP_CONFIG"] = str(file)
    told = {"url": airflow.url, "token": "a-token-of-the-operator"} if airflow and "[instances" not in config else {}
    return kept | {f"AIRFLOW_MCP_{name.upper()}": value for name, value in (told | dict(settings)).items()}


def accepted(name: str, token: str, *roles: str) -> str:
    """The lines of a configuration that accept this token."""
    return f'[tokens.{name}]\nsha256 = "{hash_token(token)}"\nroles = [{", ".join(f"{role!r}" for role in roles)}]\n'
