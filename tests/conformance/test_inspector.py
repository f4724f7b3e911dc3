"""The Inspector's lint of every tool's schema: what some client could not read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.conformance.node import installed, node

COMMAND = Path(sys.executable).parent / "airflow-mcp"
SETTINGS = ("URL=http://127.0.0.1:9", "TOKEN=a-token", "TOOLSETS=all", "ALLOW=*,@admin")


def test_no_schema_has_what_a_client_could_not_read() -> None:
    settings = [word for setting in SETTINGS for word in ("-e", f"AIRFLOW_MCP_{setting}")]
    program = installed("@modelcontextprotocol/inspector", "mcp-inspector")
    done = node(program, "--cli", "--method", "tools/list", "--strict", *settings, str(COMMAND))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "errors and warnings are written there"
    names = {tool["name"] for tool in json.loads(done.stdout)["tools"]}
    assert {"list_dags", "bulk_variables", "delete_user"} <= names
