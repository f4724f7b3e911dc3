"""What a person who starts the command by hand is told, and a client is not."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMAND = [sys.executable, "-m", "airflow_mcp"]


def variables() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    return kept | {"AIRFLOW_MCP_URL": "http://127.0.0.1:9"}


def test_the_version_is_that_of_the_package() -> None:
    said = subprocess.run([*COMMAND, "--version"], env=variables(), capture_output=True, text=True, check=True)
    assert said.stdout == f"airflow-mcp {PROJECT['version']}\n"


@pytest.mark.parametrize("words", [[], ["serve"]], ids=["bare", "serve"])
def test_a_person_at_a_terminal_is_told_that_it_waits_and_it_goes_on_serving(words: list[str]) -> None:
    persons, terminal = pty.openpty()
    pipe = subprocess.PIPE
    process = subprocess.Popen([*COMMAND, *words], env=variables(), stdin=terminal, stdout=pipe, stderr=pipe, text=True)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("airflow-mcp: waiting for an MCP client")
        assert "`airflow-mcp doctor`" in said
        assert "`airflow-mcp tools`" in said
        os.write(persons, b'{"jsonrpc": "2.0", "id": 7, "method": "ping"}\n')
        assert '"id":7' in process.stdout.readline().replace(" ", "")
    finally:
        process.kill()
        process.communicate()
        os.close(persons)
        os.close(terminal)


def test_a_client_finds_nothing_on_stderr() -> None:
    said = subprocess.run(COMMAND, env=variables(), input="", capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("", "")
