"""What a person at a terminal sees of the door: the table of tools, one call's answer, and the doctor's findings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from airflow_mcp.errors import AirflowMcpError, ForbiddenError
from airflow_mcp.tools.caller import Caller
from airflow_mcp.tools.offer import listed, parse_toolsets
from airflow_mcp.tools.open import open_door
from airflow_mcp.tools.run import Door, present
from airflow_mcp.tools.shape import dumps

if TYPE_CHECKING:
    from airflow_mcp.settings import Settings

# One cheap read for each kind of right that roles of Airflow differ in.
_READS = {"DAGs": "list_dags", "runs": "list_dag_runs", "pools": "list_pools", "event logs": "list_event_logs"}


def print_tools(settings: Settings) -> None:
    """Every tool of the catalog and its standing under these settings. Asks no Airflow."""
    door = open_door(settings)
    shown = {
        tool.name for tool in listed(door.catalog, door.policy, parse_toolsets(settings.toolsets, door.catalog), None)
    }
    table = Table("tool", "class", "standing", "toolset", "Airflow", box=None, pad_edge=False)
    for tool in door.catalog.tools.values():
        allowed = door.policy.allows(tool)
        standing = "listed" if tool.name in shown else ("allowed, not listed" if allowed else "refused")
        since = str(tool.entry.since).removeprefix("Airflow ")
        table.add_row(tool.name, tool.entry.access, standing, tool.toolset, since)
    _console().print(table)
    _console().print(f"{len(shown)} of {len(door.catalog.tools)} listed. Allow more with AIRFLOW_MCP_ALLOW.")


def call_tool(settings: Settings, name: str, arguments: dict[str, Any]) -> None:
    """Print the answer of one call as JSON on stdout, its progress on stderr. Raises AirflowMcpError."""
    door = open_door(settings)
    progress = Console(stderr=True)

    async def show(done: float, total: float | None, message: str) -> None:
        progress.print(f"{done:g}{f'/{total:g}' if total else ''} {message}", markup=False, highlight=False)

    async def job() -> Any:
        return await door.call(name, arguments, Caller(progress=show))

    answer = _run(door, job)
    sys.stdout.write(f"{dumps(answer)}\n")  # not through rich, which replaces :words: between colons


def run_doctor(settings: Settings) -> bool:
    """Print one line per finding, each with what to do about it; True when this server can work."""
    door = open_door(settings)
    return _run(door, lambda: _examine(door, settings))


async def _examine(door: Door, settings: Settings) -> bool:
    console = _console()

    def say(well: bool, what: str, words: str) -> None:
        mark = "[green]ok[/]  " if well else "[red]bad[/] "
        console.print(f"{mark} {what:<9} {escape(words)}", highlight=False, soft_wrap=True)

    try:
        version = await door.client.version()
    except AirflowMcpError as error:
        say(False, "address", present(error))
        return False
    say(True, "address", f"{settings.url} answers")
    say(True, "version", f"Airflow {version}, REST API /api/{version.generation}")
    may: list[str] = []
    may_not: list[str] = []
    for what, tool in _READS.items():
        arguments = {"limit": 1} | ({"dag_id": "~"} if tool == "list_dag_runs" else {})
        try:
            await door.call(tool, arguments, Caller(name="doctor"))
            may.append(what)
        except ForbiddenError:
            may_not.append(what)
        except AirflowMcpError as error:
            say(False, "login", present(error))
            return False
    say(True, "login", f"Airflow accepts {door.client.credentials.describe()}")
    refused = f"; not {', '.join(may_not)}: ask Airflow's administrator for a role that may" if may_not else ""
    say(
        bool(may),
        "rights",
        f"may read {', '.join(may) or 'nothing'}{refused}. What it may change cannot be tried without a change",
    )
    changing = [
        tool.name for tool in door.catalog.tools.values() if tool.entry.access != "read" and door.policy.allows(tool)
    ]
    allowed = f"allows {', '.join(changing)}" if changing else "allows reads only; AIRFLOW_MCP_ALLOW allows more"
    say(True, "policy", allowed + ("; secrets are shown (@secret)" if door.policy.reveals_secrets else ""))
    return bool(may)


def _run(door: Door, job: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def whole() -> Any:
        try:
            return await job()
        finally:
            await door.client.aclose()

    return anyio.run(whole)


def _console() -> Console:
    return Console()
