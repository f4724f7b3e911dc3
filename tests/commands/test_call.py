"""`airflow-mcp call`: one tool, once; a change that needs a plan is shown first, and asked about at a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Generator

import pytest

from tests.http.upstream import upstream
from tests.unit.fake_airflow import FakeAirflow

PATIENCE = 60  # seconds


@pytest.fixture
def airflow() -> Generator[FakeAirflow]:
    held = FakeAirflow("3.3.2").on("GET", "/pools/small", {"name": "small", "slots": 3})
    with upstream(held.on("DELETE", "/pools/small", None)) as served:
        yield served


def call(airflow: FakeAirflow, *words: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command, run to its end; `typed` is what the person at its terminal types, None where there is none."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    own |= {"AIRFLOW_MCP_URL": airflow.url, "AIRFLOW_MCP_TOKEN": "t", "AIRFLOW_MCP_ALLOW": "delete_pool"}
    keyboard, terminal = pty.openpty()
    try:
        if typed is not None:
            os.write(keyboard, typed.encode())
        return subprocess.run(
            [sys.executable, "-m", "airflow_mcp", "call", *words],
            env=own,
            stdin=subprocess.DEVNULL if typed is None else terminal,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_without_a_terminal_the_preview_is_the_answer_and_nothing_is_done(airflow: FakeAirflow) -> None:
    done = call(airflow, "delete_pool", "pool_name=small")
    assert done.returncode == 0
    assert set(json.loads(done.stdout)) == {"preview", "plan", "hint", "next"}
    assert "DELETE /pools/small" not in airflow.lines()


def test_yes_carries_the_plan_out(airflow: FakeAirflow) -> None:
    done = call(airflow, "--yes", "delete_pool", "pool_name=small")
    assert json.loads(done.stdout) == {"done": True, "pool_name": "small"}
    assert airflow.lines().count("DELETE /pools/small") == 1


def test_yes_carries_out_what_another_tool_runs(airflow: FakeAirflow) -> None:
    done = call(airflow, "--yes", "call_changing_tool", "tool=delete_pool", 'arguments={"pool_name": "small"}')
    assert json.loads(done.stdout) == {"done": True, "pool_name": "small"}


@pytest.mark.parametrize(("typed", "times"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_the_person_at_the_terminal_is_asked(airflow: FakeAirflow, typed: str, times: int) -> None:
    done = call(airflow, "delete_pool", "pool_name=small", typed=typed)
    assert done.returncode == 0
    assert "Do it?" in done.stderr
    assert "small" in done.stderr
    assert airflow.lines().count("DELETE /pools/small") == times
    if not times:
        assert done.stdout == ""
        assert done.stderr.splitlines()[-1].endswith("Nothing was done.")
