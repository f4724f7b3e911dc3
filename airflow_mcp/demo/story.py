"""Plays an on-call story on a local Airflow through the MCP client, and prints every call with a short answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.client.session import ElicitationFnT
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult, ElicitRequestFormParams, ElicitRequestParams, ElicitResult, TextContent
from rich.console import Console
from rich.markup import escape

from airflow_mcp.demo.processes import DemoError, read_tail

ALLOWED = "trigger_dag_run,clear_task_instances,clear_dag_run"
DAG = "load_orders"
CAUSE = "order 1003: amount is negative"
FAILED = "check_order[3]"
LONGEST_ANSWER = 700
"""Characters of an answer that are printed at most."""


@dataclass(frozen=True)
class DemoConnection:
    """The address and login by which the server reaches an Airflow."""

    url: str
    username: str
    password: str

    def build_server(self) -> StdioServerParameters:
        """Return the command and environment that an MCP client starts the server with."""
        env = {
            "AIRFLOW_MCP_URL": self.url,
            "AIRFLOW_MCP_USERNAME": self.username,
            "AIRFLOW_MCP_PASSWORD": self.password,
            "AIRFLOW_MCP_ALLOW": ALLOWED,
        }
        return StdioServerParameters(command=sys.executable, args=["-m", "airflow_mcp", "serve"], env=env)

    def write_client_config(self) -> str:
        """Return the JSON for the MCP settings of an IDE."""
        server = self.build_server().model_dump(include={"command", "args", "env"})
        return json.dumps({"mcpServers": {"airflow": server}}, indent=2)


def play(connection: DemoConnection, console: Console, log_file: Path) -> None:
    """Start the server, play the story to its end, and stop the server; its own log goes to `log_file`.

    Raises:
        DemoError: a step did not go as expected; the sentence names it.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("w") as log:
        server = stdio_client(connection.build_server(), errlog=log)
        failure = anyio.run(play_with, Client(server, elicitation_callback=_make_approver(console)), console)
    if failure:
        raise DemoError(
            f"{failure}\nThe server's log {log_file} ends:\n{read_tail(log_file.read_text(errors='replace'))}"
        )


async def play_with(client: Client, console: Console) -> str | None:
    """Connect `client` and play the story; return the error if any, since the client would wrap a raised one."""
    problem: str | None = None
    try:
        async with client:
            try:
                await Story(client, console).play()
            except MCPError as error:
                problem = f"The server answered with a protocol error: {error}."
            except DemoError as error:
                problem = str(error)
    except* (MCPError, OSError) as errors:
        problem = f"The MCP server did not start: {errors.exceptions[0]}."
    return problem


def _make_approver(console: Console) -> ElicitationFnT:
    """Return the human of the story: a callback that prints the server's question and agrees."""

    async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001
        schema = params.requested_schema if isinstance(params, ElicitRequestFormParams) else {}
        console.print(
            f"  [yellow]the server asks:[/] {escape(params.message)} [yellow]the story says:[/] yes", highlight=False
        )
        boxes = [name for name, box in schema.get("properties", {}).items() if box.get("type") == "boolean"]
        return ElicitResult(action="accept", content=dict.fromkeys(boxes, True))

    return answer


class Story:
    """The on-call story, step by step."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client = client
        self._console = console

    async def play(self) -> None:
        """Play every step in order.

        Raises:
            DemoError: a step did not go as expected.
        """
        for title, step in self._list_steps():
            self._console.print(f"\n[bold]{title}[/]")
            await step()

    def _list_steps(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        return [
            ("Which DAG files are broken?", self.read_import_errors),
            ("Which DAGs are there?", self.list_dags),
            ("Start one and wait for it.", self.trigger_run),
            ("Why did it fail?", self.diagnose),
            ("What would be run again?", self.preview_clear),
            ("Run it again: the first call gives a plan, the second carries it out.", self.clear),
            ("Delete the DAG? The policy allows triggering and clearing only.", self.refuse_delete),
        ]

    async def read_import_errors(self) -> None:
        """Read the import error of a DAG file, whose answer names the missing module."""
        answer = await self._call("list_import_errors", {})
        self._expect(
            "warehouse_client" in answer.text, "list_import_errors to name the missing module warehouse_client"
        )

    async def list_dags(self) -> None:
        """List the sample DAGs."""
        answer = await self._call("list_dags", {})
        self._expect(DAG in {row.get("dag_id") for row in answer.read_rows()}, f"list_dags to list {DAG}")

    async def trigger_run(self) -> None:
        """Trigger a run and wait until it has failed, as it must."""
        trigger_answer = await self._call("trigger_dag_run", {"dag_id": DAG, "conf": {"region": "south"}})
        run_id = trigger_answer.find("dag_run_id")
        self._expect(isinstance(run_id, str), "trigger_dag_run to answer with a dag_run_id")
        self._run = {"dag_id": DAG, "dag_run_id": run_id}
        wait_answer = await self._call("wait_for_dag_run", {**self._run, "timeout_seconds": 300})
        self._expect(wait_answer.find("state") == "failed", f"the run of {DAG} to fail")

    async def diagnose(self) -> None:
        """Diagnose the run: one call names the failed mapped task instance, and the cause in its log."""
        answer = await self._call("diagnose_dag_run", self._run, around=CAUSE)
        self._expect(CAUSE in answer.text, f"the diagnosis to say {CAUSE!r}")
        self._expect(FAILED in answer.text, f"the diagnosis to name {FAILED}")

    async def preview_clear(self) -> None:
        """Preview with a dry run what clearing would clear."""
        answer = await self._call("clear_task_instances", {**self._run, "dry_run": True})
        self._expect("check_order" in answer.text, "the dry run to name check_order")

    async def clear(self) -> None:
        """Clear by a plan: without it nothing is cleared; with it exactly what was previewed, and the run goes on."""
        arguments = {**self._run, "dry_run": False}
        plan = (await self._call("clear_task_instances", arguments)).find("plan")
        self._expect(isinstance(plan, str), "the clear to ask for confirmation with a plan")
        answer = await self._call("clear_task_instances", {**arguments, "plan": plan})
        self._expect(answer.find("done") is True, "the clear to be done")

    async def refuse_delete(self) -> None:
        """Try to delete the DAG: policy refuses, and the refusal names the setting that would allow it."""
        answer = await self._call("delete_dag", {"dag_id": DAG}, refused=True)
        self._expect("ALLOW" in answer.text.upper(), "the refusal to name the setting that would allow it")

    async def _call(
        self, tool: str, arguments: dict[str, Any], *, around: str = "", refused: bool = False
    ) -> ToolAnswer:
        self._console.print(f"[cyan]{tool}[/] {escape(json.dumps(arguments))}", soft_wrap=True, highlight=False)
        result = await self._client.call_tool(tool, arguments, progress_callback=self._progress)
        answer = ToolAnswer(result)
        self._console.print(
            f"  {escape(answer.shorten(around))}",
            style="red" if result.is_error else "dim",
            soft_wrap=True,
            highlight=False,
        )
        if result.is_error is not refused:
            raise DemoError(f"The story expected {tool} to be {'refused' if refused else 'answered'}, and it was not.")
        return answer

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:
        so_far = f"{progress:g}" + (f" of {total:g}" if total else "")
        self._console.print(f"  [magenta]{so_far}[/] {escape(message or '')}", soft_wrap=True, highlight=False)

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise DemoError(f"The story expected {what}, and it was not so.")


class ToolAnswer:
    """The answer of a tool: its text, and look-ups in its JSON."""

    def __init__(self, result: CallToolResult) -> None:
        self.text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
        self._data: dict[str, Any] = result.structured_content or {}

    def read_rows(self) -> list[dict[str, Any]]:
        """Return the rows of a list answer, by column name."""
        return [dict(zip(self._data.get("columns", []), row, strict=True)) for row in self._data.get("rows", [])]

    def find(self, key: str) -> Any:
        """Return the value of `key` in the answer or one level down; None without one."""
        places = [self._data, *(value for value in self._data.values() if isinstance(value, dict))]
        return next((place[key] for place in places if key in place), None)

    def shorten(self, around: str = "") -> str:
        """Cut the text to 700 characters, starting a little before `around` where that occurs."""
        position = self.text.find(around) if around else 0
        start = max(0, position - LONGEST_ANSWER // 2)
        excerpt = self.text[start : start + LONGEST_ANSWER]
        rest = len(self.text) - start - len(excerpt)
        head = f"(… {start:,} characters) " if start else ""
        return head + excerpt.strip().replace("\n", "\n  ") + (f" (… {rest:,} characters more)" if rest else "")
