"""A stand-in for Airflow 3 that misbehaves at the level of TCP, and keeps count of what it was asked and has done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import Any

from tests.load.wire import message, read_head, reset


class Fault(Enum):
    """What goes wrong with a request, first to last in its life."""

    BEFORE = auto()  # the connection is reset with its first line
    IN_BODY = auto()  # ... before its body was read
    FAILS = auto()  # Airflow answers 500 and has done nothing
    SLOW = auto()  # the answer takes its time
    HELD = auto()  # the answer waits for `release`
    AFTER = auto()  # Airflow has acted, and the connection is reset before the answer
    IN_REPLY = auto()  # ... in the middle of the answer
    TRUNCATED = auto()  # the answer ends before its length


Faults = Callable[[str, str], Fault | None]


def none_of_them(method: str, path: str) -> None:
    """Every request is answered."""
    del method, path


class WildAirflow:
    """One Airflow with every DAG that is asked for. `faults` tells, by method and path, what goes wrong next."""

    def __init__(self) -> None:
        self.url = ""
        self.faults: Faults = none_of_them
        self.expires_every = 0  # requests after which its token is no longer good; 0 for never
        self.release = asyncio.Event()
        self.asked = 0  # requests of the API proper
        self.in_flight = self.most_in_flight = self.held = self.left = 0
        self.logins = self.expired = 0
        self.runs: dict[str, Any] = {}  # dag_run_id -> conf
        self.changes: list[str] = []  # what was done, in order
        self._changed = asyncio.Condition()
        self._token = ""

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait until the counts are such."""
        async with self._changed:
            await self._changed.wait_for(seen)

    def expire(self) -> None:
        """The token that it gave last is no longer good."""
        self._token, self.expired = "", self.expired + 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._one(reader, writer):
                await self._tell()
        await self._tell()
        writer.close()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection lives on."""
        first, headers = await read_head(reader)
        method, target, _ = first.split()
        path = target.split("?")[0].removeprefix("/api/v2")
        if path in ("/version", "/auth/token"):
            await reader.readexactly(int(headers.get("content-length", 0)))
            writer.write(_reply(*self._introduce(path)))
            return True
        self.asked += 1
        if self.expires_every and self.asked % self.expires_every == 0:
            self.expire()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = await self._reply_of(method, path, headers, reader, fault := self.faults(method, path))
        finally:
            self.in_flight -= 1
        if reply is None:
            reset(writer)
            return False
        writer.write(reply)
        await writer.drain()
        if fault is Fault.IN_REPLY:
            reset(writer)
        return fault not in (Fault.IN_REPLY, Fault.TRUNCATED)

    async def _reply_of(
        self, method: str, path: str, headers: dict[str, str], reader: asyncio.StreamReader, fault: Fault | None
    ) -> bytes | None:
        """The bytes to answer with; None to reset the connection."""
        if fault in (Fault.BEFORE, Fault.IN_BODY):
            return None
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("authorization") != f"Bearer {self._token}":
            return _reply(401, {"detail": "Invalid JWT token"})
        if fault is Fault.FAILS:
            return _reply(500, {"detail": "Something went wrong"})
        if fault is Fault.SLOW:
            await asyncio.sleep(0.02)
        if fault is Fault.HELD and not await self._released(reader):
            return None
        reply = _reply(*self._act(method, path, json.loads(body) if body else {}))
        match fault:
            case Fault.AFTER:
                return None
            case Fault.IN_REPLY | Fault.TRUNCATED:
                return reply[: len(reply) - 10]
            case _:
                return reply

    async def _released(self, reader: asyncio.StreamReader) -> bool:
        """Whether whoever asks was still there when `release` came."""
        self.held += 1
        await self._tell()
        released, gone = asyncio.create_task(self.release.wait()), asyncio.create_task(reader.read(1))
        await asyncio.wait([released, gone], return_when=asyncio.FIRST_COMPLETED)
        left = gone.done()
        for wait in (released, gone):
            wait.cancel()
            with suppress(asyncio.CancelledError):
                await wait
        self.left += left
        return not left

    def _introduce(self, path: str) -> tuple[int, Any]:
        if path == "/version":
            return 200, {"version": "3.3.2", "git_version": None}
        self.logins += 1
        self._token = f"token-{self.logins}"
        return 201, {"access_token": self._token}

    def _act(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        match method, path.strip("/").split("/"):
            case "GET", ["dags", dag_id] | ["dags", dag_id, "details"]:
                return 200, {"dag_id": dag_id, "is_paused": False, "params": {}}
            case "PATCH", ["dags", dag_id]:
                self.changes.append(f"PATCH {dag_id}")
                return 200, {"dag_id": dag_id, **body}
            case "POST", ["dags", dag_id, "dagRuns"]:
                run_id = body["dag_run_id"]
                if run_id in self.runs:
                    return 409, {"detail": f"DAGRun with ID {run_id} already exists"}
                self.runs[run_id] = body["conf"]
                self.changes.append(f"POST {run_id}")
                return 200, _run(dag_id, run_id, body["conf"])
            case "GET", ["dags", dag_id, "dagRuns", run_id] if run_id in self.runs:
                return 200, _run(dag_id, run_id, self.runs[run_id])
            case _:
                return 404, {"detail": "Not found"}


def _run(dag_id: str, run_id: str, conf: Any) -> dict[str, Any]:
    return {"dag_id": dag_id, "dag_run_id": run_id, "state": "queued", "conf": conf}


def _reply(status: int, body: Any) -> bytes:
    return message(f"HTTP/1.1 {status} Told", {"Content-Type": "application/json"}, json.dumps(body).encode())


@asynccontextmanager
async def wild_airflow() -> AsyncGenerator[WildAirflow]:
    """Such an Airflow on loopback, in this event loop, for the block."""
    airflow = WildAirflow()
    server = await asyncio.start_server(airflow.serve, "127.0.0.1", 0)
    airflow.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield airflow
    finally:
        airflow.release.set()
        server.close()
