"""Both eras of the protocol, and every legacy version of it, over the pipe to a server of a real Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from threading import Timer

import pytest
from mcp import MCPError
from mcp.types import INVALID_PARAMS

from .harness import PATIENCE, Heard, Json, Site, Talker

LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18")


def eras(site: Site) -> dict[str, Talker]:
    """A client of each era, by the protocol version it must end up with."""
    return {"2026-07-28": site.admin, "2025-11-25": site.old_admin}


def test_a_client_of_each_era_speaks_the_latest_version_of_it(site: Site) -> None:
    for version, talker in eras(site).items():
        assert talker.client.protocol_version == version


def test_both_eras_give_the_same_tools_answers_and_refusals(site: Site) -> None:
    site.ended("mapped", "map-1")
    modern, legacy = eras(site).values()
    assert modern.schemas() == legacy.schemas()
    run = {"dag_id": "mapped", "dag_run_id": "map-1"}
    assert modern.ask("list_task_instances", **run) == legacy.ask("list_task_instances", **run)
    assert modern.refusal("get_dag", dag_id="mappd") == legacy.refusal("get_dag", dag_id="mappd")


def test_both_eras_carry_progress(site: Site) -> None:
    site.ended("mapped", "map-1")
    for talker in eras(site).values():
        heard: Heard = []
        result = talker.result("wait_for_dag_run", {"dag_id": "mapped", "dag_run_id": "map-1"}, heard)
        assert not result.is_error
        assert heard == [(6, 6, "failed: 1 failed, 4 success, 1 upstream_failed")]


def test_a_tool_that_does_not_exist_is_a_protocol_error_with_the_near_name(site: Site) -> None:
    for talker in eras(site).values():
        with pytest.raises(MCPError, match="Did you mean list_dags") as error:
            talker.result("list_dag", {})
        assert error.value.code == INVALID_PARAMS


class Pipe:
    """JSON-RPC by hand on the pipe of one server process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._number = 0

    def send(self, method: str, params: Json, **more: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}) + "\n")
        self._process.stdin.flush()

    def ask(self, method: str, params: Json) -> Json:
        """Send a request, read until its response, and give that."""
        assert self._process.stdout is not None
        self._number += 1
        self.send(method, params, id=self._number)
        for line in self._process.stdout:
            message: Json = json.loads(line)
            if message.get("id") == self._number:
                return message
        raise AssertionError(f"the server ended without answering {method}")


@contextmanager
def piped(site: Site) -> Generator[Pipe]:
    """A server process to write to and read from; one that hangs is killed, which ends the reading."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    with subprocess.Popen(
        [sys.executable, "-m", "airflow_mcp"],
        env=own | site.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        clock = Timer(PATIENCE, process.kill)
        clock.start()
        try:
            yield Pipe(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait() == 0
        finally:
            process.kill()
            clock.cancel()


@pytest.mark.parametrize("version", LEGACY)
def test_a_legacy_version_is_negotiated_as_asked_and_tools_work_in_it(site: Site, version: str) -> None:
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "by hand", "version": "1"}}
    with piped(site) as pipe:
        result = pipe.ask("initialize", hello)["result"]
        assert result["protocolVersion"] == version
        assert result["serverInfo"]["name"] == "airflow-mcp"
        pipe.send("notifications/initialized", {})
        tools = pipe.ask("tools/list", {})["result"]
        assert "nextCursor" not in tools
        assert {tool["name"] for tool in tools["tools"]} == set(site.reader.tools())
        called = pipe.ask("tools/call", {"name": "get_version", "arguments": {}})["result"]
        assert json.loads(called["content"][0]["text"])["version"] == site.version
        assert not called.get("isError")


def test_a_version_that_does_not_exist_is_answered_with_the_latest_legacy_one(site: Site) -> None:
    hello = {"protocolVersion": "1999-01-01", "capabilities": {}, "clientInfo": {"name": "by hand", "version": "1"}}
    with piped(site) as pipe:
        assert pipe.ask("initialize", hello)["result"]["protocolVersion"] == "2025-11-25"
