"""What a model sees of each tool, one file a tool, as the MCP server really lists it.

python -m tests.generated.snapshots --write    rewrite tests/generated/snapshots/ (`make snapshots`)
python -m tests.generated.snapshots --check    print the difference, exit code 1 when there is one (`make check`)

Everything is allowed and listed, and no Airflow answers, so the list holds what any version has.
"""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.types import Tool

from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.credentials import Credentials
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.dispatcher import Dispatcher
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.policy.rules import parse_policy
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.workflows import load_workflows

FOLDER = Path(__file__).parent / "snapshots"
EVERYTHING = ("@write", "@destructive", "@admin")
_CEILING = 100_000


def server(allow: tuple[str, ...] = EVERYTHING, toolsets: tuple[str, ...] = ("all",)) -> AirflowServer:
    """An MCP server whose Airflow does not answer, so that its version stays unknown."""

    def unreachable(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody is there", request=request)

    catalog = load_catalog()
    client = AirflowClient("http://airflow.invalid", Credentials(), transport=httpx2.MockTransport(unreachable))
    dispatcher = Dispatcher(catalog, parse_policy(allow, catalog), client, load_workflows, ceiling=_CEILING)
    return AirflowServer(Instances({"default": dispatcher}), parse_toolsets(toolsets, catalog))


async def listed(served: AirflowServer) -> list[Tool]:
    """The tools that a client of this server gets to see."""
    async with Client(served) as client:
        return (await client.list_tools()).tools


def characters(tool: Tool) -> int:
    """What the tool costs a model's context: its name, description and input schema as compact JSON."""
    seen = {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
    return len(json.dumps(seen, ensure_ascii=False, separators=(",", ":")))


def snapshot(tool: Tool) -> str:
    """One tool's file."""
    seen: dict[str, Any] = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps({**seen, "characters": characters(tool)}, ensure_ascii=False, indent=2) + "\n"


def current() -> dict[str, str]:
    """File name -> text, as it is now."""
    return {f"{tool.name}.json": snapshot(tool) for tool in anyio.run(listed, server())}


def reviewed(folder: Path = FOLDER) -> dict[str, str]:
    """File name -> text, as it was last reviewed."""
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.json"))}


def difference(before: dict[str, str], now: dict[str, str]) -> str:
    """A unified diff over all files, a tool that came or went included; empty when there is none."""
    lines: list[str] = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, ""), now.get(name, "")
        lines += difflib.unified_diff(
            old.splitlines(), new.splitlines(), f"reviewed/{name}", f"now/{name}", lineterm=""
        )
    return "\n".join(lines)


def write(texts: dict[str, str], folder: Path = FOLDER) -> None:
    """Make the folder hold these files and no other."""
    folder.mkdir(exist_ok=True)
    for name in reviewed(folder).keys() - texts.keys():
        (folder / name).unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """The command; gives its exit code."""
    match arguments:
        case ["--write"]:
            write(current())
        case ["--check"]:
            if changes := difference(reviewed(), current()):
                sys.stderr.write(f"{changes}\nWhat a model sees has changed: run make snapshots and review.\n")
                return 1
        case _:
            sys.stderr.write("Usage: python -m tests.generated.snapshots --write | --check\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
