"""One real Airflow as the tests see it: MCP clients over stdio, its REST API directly, and runs made beforehand."""

from __future__ import annotations

import base64
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from anyio.from_thread import BlockingPortal
from mcp import Client, StdioServerParameters
from mcp.client.session import ElicitationFnT
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult, Tool

from airflow_mcp.catalog.versions import Version
from airflow_mcp.demo.local_airflow import LocalAirflow

Json = dict[str, Any]
Mode = Literal["auto", "legacy"]
Heard = list[tuple[float, float | None, str | None]]

VERSIONS = ("3.3.2", "2.11.2")
DAGS = Path(__file__).parent / "dags"
PATIENCE = 300
"""Seconds after which a client gives up: no test measures time, and none may hang for ever."""

CANARY = "hunter2-canary"
OK_RUNS = ("ok-1", "ok-2", "ok-3")
ODD_RUNS = ("manual__2026-01-01T00:00:00+00:00", "x~y:z+1")
RUNS: dict[tuple[str, str], Json] = {
    ("leaking", "leak-1"): {"password": CANARY, "nested": {"api_key": f"{CANARY}-2"}, "harmless": "cork"},
    ("mapped", "map-1"): {},
    ("mill", "mill-1"): {},
    ("noisy", "loud-1"): {},
    **{("a.b-c", run_id): {} for run_id in ODD_RUNS},
    **{("ok", run_id): {"batch": run_id} for run_id in OK_RUNS},
}
"""Started as soon as an Airflow is ready: DAG and run id -> conf. Tests read these and never change them."""
_LOGGED = re.compile(r' method=(\S+) path=(\S+)|"([A-Z]+) (\S+) HTTP/1\.1"')


class Talker:
    """One MCP client, its own server process and that server's stderr, for synchronous tests."""

    def __init__(self, client: Client, portal: BlockingPortal, stderr: Path, proved: set[str]) -> None:
        self.client = client
        self._portal = portal
        self._stderr = stderr
        self._proved = proved

    @property
    def stderr(self) -> str:
        """What the server process has written to its stderr so far."""
        return self._stderr.read_text()

    def result(self, tool: str, arguments: Json, heard: Heard | None = None) -> CallToolResult:
        """The result of a call as it came, an error or not; progress is added to `heard`."""

        async def listen(progress: float, total: float | None, message: str | None) -> None:
            assert heard is not None
            heard.append((progress, total, message))

        async def call() -> CallToolResult:
            return await self.client.call_tool(tool, arguments, progress_callback=None if heard is None else listen)

        result = self._portal.call(call)
        if not result.is_error and "plan" not in (result.structured_content or {}):
            self._proved.add(tool)
        return result

    def ask(self, tool: str, /, **arguments: Any) -> Json:
        """The structured answer of a call that must succeed; its text says the same. A preview's plan is carried out.

        A dry run that was asked for is the answer itself, also where it gives a plan.
        """
        result = self.result(tool, arguments)
        assert not result.is_error, f"{tool} {arguments} was refused: {text_of(result)}"
        answer = result.structured_content
        assert answer is not None
        assert json.loads(text_of(result)) == answer
        return self.ask(tool, **arguments, plan=answer["plan"]) if "preview" in answer else answer

    def planned(self, tool: str, /, **arguments: Any) -> str:
        """The plan of a call that must be previewed first: it says what it would touch, and does nothing.

        The call that uses the plan is advised, unless it would repeat a secret.
        """
        result = self.result(tool, arguments)
        answer = result.structured_content
        assert answer is not None, text_of(result)
        secret = any(word in str(arguments) for word in ("password", CANARY))
        advice = set[str]() if secret else {"next"}
        assert set(answer) == {"preview", "plan", "hint"} | advice
        return answer["plan"]

    def rows(self, tool: str, /, **arguments: Any) -> list[Json]:
        """The rows of a list, each as an object of its columns; an argument the rows would repeat is put back."""
        return rows_of(self.ask(tool, **arguments))

    def refusal(self, tool: str, /, **arguments: Any) -> str:
        """The words of a call that must fail, made for a model: short, and without what is meant for programmers."""
        result = self.result(tool, arguments)
        words = text_of(result)
        assert result.is_error, f"{tool} {arguments} was answered: {words}"
        assert len(words) <= 600
        assert "Traceback" not in words
        assert "<html" not in words.lower()
        return words

    def sentence(self, tool: str, /, **arguments: Any) -> str:
        """The same without the line of calls to make next, where there is one."""
        return self.refusal(tool, **arguments).partition('\n{"next":')[0]

    def tools(self) -> list[str]:
        """The names of the tools on offer."""
        return list(self.schemas())

    def schemas(self) -> dict[str, set[str]]:
        """The names of the tools on offer, each with the names of its arguments."""
        return {tool.name: set(tool.input_schema["properties"]) for tool in self.listed()}

    def listed(self) -> list[Tool]:
        """The tools on offer, whole."""
        return self._portal.call(self.client.list_tools).tools


def text_of(result: CallToolResult) -> str:
    """The text of a result."""
    return "".join(block.text for block in result.content if block.type == "text")


def rows_of(answer: Json) -> list[Json]:
    """Columns and rows as a list of objects."""
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]


def calls_of(answer: Json) -> list[tuple[str, Json]]:
    """The calls to make next as an answer advises them, without why."""
    return [(call["tool"], call["arguments"]) for call in answer["next"]]


def basic(user: str, password: str) -> str:
    """The header of basic authentication."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Site:
    """A running Airflow, everything that talks to it, and the runs it was given."""

    def __init__(self, airflow: LocalAirflow, portal: BlockingPortal, folder: Path) -> None:
        self.airflow = airflow
        self.version = airflow.version
        self.is_old = airflow.version.startswith("2.")
        self._portal = portal
        self._folder = folder
        self._open: dict[str, tuple[Talker, ExitStack]] = {}
        self._waited: set[tuple[str, str]] = set()
        self.proved: set[str] = set()  # tools that have answered a call
        self._authorization = ""
        self._http = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    # -- MCP clients, one server process each, started on first use --

    @property
    def admin(self) -> Talker:
        """The administrator, to whom every tool is allowed but what makes users and roles."""
        return self.talker("admin", allow="*")

    @property
    def chief(self) -> Talker:
        """The administrator, to whom even users and roles are allowed."""
        return self.talker("chief", allow="*,@admin")

    @property
    def old_admin(self) -> Talker:
        """The same with a client of the legacy protocol."""
        return self.talker("old-admin", mode="legacy", allow="*")

    @property
    def reader(self) -> Talker:
        """The administrator, to whom nothing is allowed but reads."""
        return self.talker("reader")

    @property
    def writer(self) -> Talker:
        """The administrator, to whom writes are allowed and nothing destructive."""
        return self.talker("writer", allow="@write")

    @property
    def revealing(self) -> Talker:
        """The administrator, to whom secrets are shown."""
        return self.talker("revealing", allow="*,@secret")

    @property
    def viewer(self) -> Talker:
        """A user whose role in Airflow is Viewer; to our policy everything is allowed."""
        return self.talker("viewer", user="viewer", allow="*")

    def talker(self, name: str, *, user: str = "admin", mode: Mode = "auto", **settings: str) -> Talker:
        """The client of this name, opened once; `settings` become AIRFLOW_MCP_* variables."""
        return self.opened(name, self.environment(user, **settings), mode=mode)

    def ruled(
        self, name: str, rules: str, *, mode: Mode = "auto", human: ElicitationFnT | None = None, audit: str = ""
    ) -> Talker:
        """The client of this name, opened once, for a server with the permission rules of this TOML text."""
        file = self._folder / f"{name}-{self.version}.toml"
        file.write_text(rules)
        return self.opened(name, self.environment(config=str(file), audit=audit), mode=mode, human=human)

    def opened(
        self, name: str, environment: dict[str, str], *, mode: Mode = "auto", human: ElicitationFnT | None = None
    ) -> Talker:
        """The client of this name, opened once, for a server with these variables; `human` answers its questions."""
        if name not in self._open:
            stderr = self._folder / f"{name}-{self.version}.stderr"
            undo = ExitStack()
            log = undo.enter_context(stderr.open("w"))
            server = StdioServerParameters(command=sys.executable, args=["-m", "airflow_mcp"], env=environment)
            client = Client(
                stdio_client(server, errlog=log),
                mode=mode,
                read_timeout_seconds=PATIENCE,
                elicitation_callback=human,
            )
            entered = undo.enter_context(self._portal.wrap_async_context_manager(client))
            self._open[name] = Talker(entered, self._portal, stderr, self.proved), undo
        return self._open[name][0]

    def environment(self, user: str = "admin", **settings: str) -> dict[str, str]:
        """The variables that point a server or a command at this Airflow."""
        values = {
            "url": self.airflow.url,
            "username": user,
            "password": self.airflow.passwords.get(user, ""),
            **settings,
        }
        values = {"toolsets": "all", **values}
        return {f"AIRFLOW_MCP_{name.upper()}": value for name, value in values.items() if value}

    # -- Airflow itself --

    def since(self, version: str) -> bool:
        """Whether this Airflow is of that version or newer."""
        return Version.parse(self.version) >= Version.parse(version)

    def rest(self, method: str, path: str, body: Json | None = None) -> tuple[int, Any]:
        """Ask Airflow's own REST API as its administrator, and give status and JSON.

        `path` starts behind /api/vN, unless it is one of FAB's.
        """
        if not self._authorization:
            self._authorization = self._log_in()
        base = "" if path.startswith("/auth/fab/") else f"/api/{'v1' if self.is_old else 'v2'}"
        return self._send(method, base + path, body, self._authorization)

    def rest_as(self, user: str, password: str, method: str, path: str) -> tuple[int, Any]:
        """The same as another user of Airflow 2, with this password."""
        return self._send(method, f"/api/v1{path}", None, basic(user, password))

    def held(self, path: str) -> Json:
        """What Airflow holds at `path`, which must be there."""
        status, value = self.rest("GET", path)
        assert status == 200, f"{path}: {status} {value}"
        return value

    def requests(self) -> list[str]:
        """The requests Airflow's API has logged so far, like "POST /auth/token"."""
        log = self.airflow.find_log_file("webserver" if self.is_old else "api-server").read_text(errors="replace")
        # Airflow 3 wrote them as Airflow 2 does before it gave them names.
        return [f"{one[1] or one[3]} {one[2] or one[4]}" for one in _LOGGED.finditer(log)]

    def change(self, method: str, path: str, body: Json | None = None) -> None:
        """Change something in Airflow itself, as a test's preparation, which must succeed."""
        status, answer = self.rest(method, path, body)
        assert 200 <= status < 300, f"{method} {path}: {status} {answer}"

    def start_runs(self) -> None:
        """Start the runs of RUNS, not through the product, so that they are there whatever it does wrong."""
        for (dag_id, run_id), conf in RUNS.items():
            body: Json = {"dag_run_id": run_id, "conf": conf} | ({} if self.is_old else {"logical_date": None})
            self.change("POST", f"/dags/{dag_id}/dagRuns", body)

    def ended(self, dag_id: str, run_id: str) -> str:
        """The same run id, once that run has ended."""
        if (dag_id, run_id) not in self._waited:
            answer = self.reader.ask("wait_for_dag_run", dag_id=dag_id, dag_run_id=run_id, timeout_seconds=PATIENCE)
            assert answer["finished"], answer
            self._waited.add((dag_id, run_id))
        return run_id

    def all_ended(self) -> None:
        """Wait until every run of RUNS has ended."""
        for dag_id, run_id in RUNS:
            self.ended(dag_id, run_id)

    def close(self) -> None:
        """End every server process, then this Airflow."""
        with ThreadPoolExecutor() as pool, ExitStack() as last:
            last.callback(self.airflow.stop)
            for done in [pool.submit(undo.close) for _, undo in self._open.values()]:
                last.callback(done.result)

    def _log_in(self) -> str:
        name, password = self.airflow.username, self.airflow.password
        if self.is_old:
            return basic(name, password)
        _, answer = self._send("POST", "/auth/token", {"username": name, "password": password}, "")
        return f"Bearer {answer['access_token']}"

    def _send(self, method: str, path: str, body: Json | None, authorization: str) -> tuple[int, Any]:
        headers = {"Accept": "application/json"} | ({"Authorization": authorization} if authorization else {})
        data = None
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body).encode()
        request = urllib.request.Request(self.airflow.url + path, data, headers, method=method)
        try:
            with self._http.open(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
            return error.code, json.loads(text) if text[:1] in (b"{", b"[") else text.decode(errors="replace")


def lacks(site: Site, tool: str, since: str, **arguments: object) -> bool:
    """Whether this Airflow is too old for a tool; its refusal then says what would do."""
    if site.since(since):
        return False
    words = site.chief.refusal(tool, **arguments)
    assert f"{tool} needs Airflow {since} or newer; this is Airflow {Version.parse(site.version)}" in words
    return True


Row = Callable[[Site], None]
"""One tool's row in the table of test_every_tool: calls it with what it needs, and checks the answer."""
