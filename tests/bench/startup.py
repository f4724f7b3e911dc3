"""CPU time of an MCP server from its process's start to its first list of tools, over stdio as a client speaks."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BARE = [sys.executable, "-m", "tests.bench.bare_server"]
OURS = [sys.executable, "-m", "airflow_mcp"]
_HANDSHAKE = (
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
)


@dataclass(frozen=True)
class Start:
    """One start: CPU seconds until the list was read, and how many tools it held."""

    cpu: float
    tools: int


def environment(url: str, *, everything: bool = False) -> dict[str, str]:
    """This process's environment with our settings replaced, and with bytecode as an installed server has it."""
    wide = {"AIRFLOW_MCP_TOOLSETS": "all", "AIRFLOW_MCP_ALLOW": "@write,@destructive,@admin"} if everything else {}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"AIRFLOW_MCP_URL": url} | wide


def start(command: list[str], env: dict[str, str]) -> Start:
    """Start a server, ask for its tools, and end it at once; user and system time, waited-for children included."""
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    tools = -1
    for message in _HANDSHAKE:
        process.stdin.write(f"{json.dumps(message)}\n".encode())
        process.stdin.flush()
        while tools < 0 and "id" in message:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{' '.join(command)} ended before it listed its tools.")
            answer = json.loads(line)
            if answer.get("id") == message["id"]:
                tools = len(answer["result"]["tools"]) if message["id"] == 2 else tools
                break
    process.kill()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdin.close()
    process.stdout.close()
    return Start(usage.ru_utime + usage.ru_stime, tools)


def compare(url: str, *, everything: bool = False, rounds: int = 11) -> str:
    """One line: ours against the bare server, in turns, after one start of each that compiles and warms.

    `everything` lists and allows every tool.
    """
    env = environment(url, everything=everything)
    for command in (BARE, OURS):
        start(command, env)
    pairs = [(start(BARE, env), start(OURS, env)) for _ in range(rounds)]
    bare = statistics.median(one.cpu for one, _ in pairs)
    ours = statistics.median(one.cpu for _, one in pairs)
    ratio = statistics.median(mine.cpu / its.cpu for its, mine in pairs)
    return (
        f"start to first tools/list, CPU: {ratio:.2f} x a bare server "
        f"({ours * 1000:.0f} ms for {pairs[0][1].tools} tools, {bare * 1000:.0f} ms for 1; median of {rounds})"
    )
