"""A stand-in for Airflow: an in-process transport that records every request and gives canned replies.

    airflow = FakeAirflow("3.3.2").on("GET", "/pools/small", {"name": "small", "slots": 3})

answers the version routes like that Airflow, `/api/v2/pools/small` with that record, and everything else with the 404
that this generation gives. Several replies to one route are given in turn, and the last of them from then on.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

import httpx2

HTML_404 = "<!doctype html><title>404 Not Found</title><h1>Not Found</h1>"


@dataclass(frozen=True)
class Sent:
    """One request as it arrived: `path` raw, as on the wire, behind /api/vN; `query` decoded, in order."""

    method: str
    path: str
    query: list[tuple[str, str]]
    body: Any
    headers: httpx2.Headers

    @property
    def asked(self) -> dict[str, str]:
        """The query, where no name comes twice."""
        assert len(dict(self.query)) == len(self.query), f"a name comes twice in {self.query}"
        return dict(self.query)

    @property
    def line(self) -> str:
        """ "GET /dags", for a test to compare."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Reply:
    """A status with JSON, text, bytes or a stream of bytes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def build(self) -> httpx2.Response:
        """A fresh response: one object cannot be read twice."""
        match self.body:
            case None:
                return httpx2.Response(self.status, headers=self.headers)
            case str() | bytes():
                return httpx2.Response(self.status, content=self.body, headers=self.headers)
            case AsyncIterator():
                return httpx2.Response(self.status, content=self.body, headers=self.headers)
            case _:
                return httpx2.Response(self.status, json=self.body, headers=self.headers)


class FakeAirflow:
    """One Airflow of one version. `prefix` is the path its address has behind the host."""

    def __init__(self, version: str = "3.3.2", *, prefix: str = "") -> None:
        self.version = version
        self.generation = "v1" if version.startswith("2.") else "v2"
        self.url = f"http://airflow.example:8080{prefix}"
        self.seen: list[Sent] = []  # every request, with the path whole
        self.sent: list[Sent] = []  # those to the API proper: not the version, not a login
        self.closed = False  # whether the client has closed its connections
        self._prefix = prefix
        self._replies: dict[str, list[Any]] = {}
        self.on("GET", "/version", {"version": version, "git_version": None})

    def on(self, method: str, path: str, *replies: Any) -> FakeAirflow:
        """Answer a route: with JSON, a Reply, an exception to raise, or a function of the request that gives one."""
        self._replies[f"{method} {path}"] = list(replies)
        return self

    def otherwise(self, *replies: Any) -> FakeAirflow:
        """Answer whatever no other reply is for."""
        self._replies["otherwise"] = list(replies)
        return self

    @property
    def transport(self) -> httpx2.AsyncBaseTransport:
        """What the client sends through."""
        return _Transport(self)

    def lines(self) -> list[str]:
        """ "METHOD /path" of every request to the API proper, in order."""
        return [sent.line for sent in self.sent]

    def last(self, method: str = "", path: str = "") -> Sent:
        """The latest request, of that method and path where they are given."""
        return [sent for sent in self.sent if method in ("", sent.method) and path in ("", sent.path)][-1]

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Record a request and answer it."""
        raw, _, query = request.url.raw_path.decode().partition("?")
        body = _body_of(request)
        whole = Sent(request.method, raw, parse_qsl(query, keep_blank_values=True), body, request.headers)
        self.seen.append(whole)
        api = f"{self._prefix}/api/{self.generation}"
        if raw.startswith(f"{self._prefix}/auth/fab/"):  # users and roles of 3.x: served by the auth manager FAB
            of_fab = Sent(whole.method, raw.removeprefix(self._prefix), whole.query, whole.body, whole.headers)
            self.sent.append(of_fab)
            return await self._reply(of_fab, of_fab.line, Reply(404, {"detail": "Not Found"}))
        if not raw.startswith(f"{api}/"):
            path = raw.removeprefix(self._prefix)
            return await self._reply(whole, f"{request.method} {path}", self._unknown_route(path))
        sent = Sent(whole.method, raw.removeprefix(api), whole.query, whole.body, whole.headers)
        if sent.path != "/version":
            self.sent.append(sent)
        return await self._reply(sent, sent.line, self._missing())

    async def _reply(self, sent: Sent, key: str, missing: Reply) -> httpx2.Response:
        run = f"{key}/{quote(dict(sent.query).get('run_id_pattern', ''), safe='')}"
        if key not in self._replies and run in self._replies:
            return _as_list(await self._reply(sent, run, missing))
        replies = self._replies.get(key) or self._replies.get("otherwise") or [missing]
        reply: Any = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Callable):
            reply = reply(sent)
            if inspect.isawaitable(reply):
                reply = await reply
        if isinstance(reply, Exception):
            raise reply
        return (reply if isinstance(reply, Reply) else Reply(200, reply)).build()

    def _missing(self) -> Reply:
        if self.generation == "v1":
            return Reply(404, {"type": "about:blank", "title": "Not found", "status": 404, "detail": None})
        return Reply(404, {"detail": "The object with that id was not found"})

    def _unknown_route(self, path: str) -> Reply:
        if self.generation == "v2" and path.startswith("/api/v1"):
            return Reply(404, {"error": "/api/v1 has been removed in Airflow 3, please use /api/v2"})
        return Reply(404, HTML_404, {"content-type": "text/html"})


def line_of_run(version: str, path: str) -> str:
    """How a run with this route is asked for: 3.1 and later ask the list, see operations/route_costs.py."""
    return f"GET {path}" if version.startswith("2.") else f"GET {path.rpartition('/')[0]}"


def _as_list(response: httpx2.Response) -> httpx2.Response:
    """The list that holds this run alone, or is empty where there is none; what went wrong goes wrong for it too."""
    if response.status_code == 404:
        return httpx2.Response(200, json={"dag_runs": [], "total_entries": 0})
    if response.status_code != 200 or not isinstance(run := response.json(), dict):
        return response
    body = json.dumps({"dag_runs": [run], "total_entries": 1})  # what UTF-8 cannot carry is escaped
    return httpx2.Response(200, text=body, headers={"content-type": "application/json"})


def _body_of(request: httpx2.Request) -> Any:
    """What was sent: JSON, or the fields of a form."""
    if request.headers.get("content-type") == "application/x-www-form-urlencoded":
        return dict(parse_qsl(request.content.decode()))
    return json.loads(request.content) if request.content else None


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, airflow: FakeAirflow) -> None:
        self._airflow = airflow

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        return await self._airflow.answer(request)

    async def aclose(self) -> None:
        self._airflow.closed = True
