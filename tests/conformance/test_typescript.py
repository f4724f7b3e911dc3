"""TypeScript's SDKs as clients of the real command: over stdio, and over HTTP with and without sessions."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.node import HERE, node
from tests.http.serving import accepted, environment_of, serving
from tests.unit.fake_airflow import FakeAirflow

TOKEN = "token-of-alice"
CONFIG = f"""
toolsets = "all"
{accepted("alice", TOKEN)}
[[policy.allow]]
tools = ["pause_dag"]
confirm = "human"
[[policy.allow]]
tools = ["delete_pool"]
"""
COMMAND = Path(sys.executable).parent / "airflow-mcp"
TRANSPORTS = ("stdio", "sessions", "stateless")
CLIENTS = {"v1": ("sdk_v1.mjs", "legacy"), "v2-auto": ("sdk_v2.mjs", "auto"), "v2-legacy": ("sdk_v2.mjs", "legacy")}


@dataclass(frozen=True)
class Place:
    """Where a client finds the server: what its command line says, and its variables."""

    arguments: tuple[str, ...]
    variables: dict[str, str]


@contextmanager
def reachable(airflow: FakeAirflow, folder: Path, transport: str) -> Generator[Place]:
    """The server over that transport; over stdio the client starts it."""
    audit = str(folder / "audit.jsonl")
    if transport == "stdio":
        settings = environment_of(airflow, folder, CONFIG, {"audit": audit})
        ours = {name: value for name, value in settings.items() if name.startswith("AIRFLOW_MCP_")}
        yield Place(("stdio", str(COMMAND)), ours)
        return
    stateless = str(transport == "stateless")
    with serving(airflow, folder, config=CONFIG, http_stateless=stateless, audit=audit) as served:
        yield Place((f"{served.url}/mcp", TOKEN), {})


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_in_typescript_can_do_all_that_the_server_offers(
    airflow: FakeAirflow, tmp_path: Path, client: str, transport: str
) -> None:
    program, mode = CLIENTS[client]
    # Without sessions nothing ties a notification of the older protocols to the call that it is about.
    tells = {} if (mode, transport) == ("legacy", "stateless") else {"AUDIT": str(tmp_path / "audit.jsonl")}
    with reachable(airflow, tmp_path, transport) as place:
        done = node(HERE / program, *place.arguments, MODE=mode, **tells, **place.variables)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    _assert_reads(told)
    _assert_changes(told, airflow)
    _assert_the_human(told, airflow, may_be_asked=(mode, transport) != ("legacy", "stateless"))
    assert told["aborted"]["error"]
    assert not told["aborted"]["after"]["error"]
    assert told["aborted"]["ended"] is (True if tells else None)
    if client == "v1":
        assert told["session"] is (transport == "sessions")
    else:
        assert (told["protocol"] == "2026-07-28") is (mode == "auto")


def _assert_reads(told: dict[str, Any]) -> None:
    assert told["server"] == "airflow-mcp"
    assert {"list_dags", "pause_dag", "delete_pool"} <= set(told["tools"])
    assert "create_pool" not in told["tools"]
    assert told["answer"]["structured"]["total"] == 1
    assert told["waited"]["structured"]["state"] == "success"
    first, *others = told["waited"]["progress"]
    assert first == "running: 1 running"
    assert others in ([], ["success: 1 running"])  # the last comes with the answer; the SDK may see that first
    assert json.loads(told["run"])["dag_run_id"] == "done"
    assert "diagnose_dag_run" in told["prompt"]
    assert told["completed"] == ["etl"]


def _assert_changes(told: dict[str, Any], airflow: FakeAirflow) -> None:
    assert told["refused"]["error"]
    assert "create_pool is not allowed here" in told["refused"]["text"]
    planned = told["planned"]
    assert "small" in json.dumps(planned["preview"]["structured"]["preview"])
    assert not planned["done"]["error"]
    assert planned["twice"]["error"]
    assert airflow.lines().count("DELETE /pools/small") == 1


def _assert_the_human(told: dict[str, Any], airflow: FakeAirflow, *, may_be_asked: bool) -> None:
    paused = airflow.lines().count("PATCH /dags/etl")
    if may_be_asked:
        (question,) = told["asked"]
        assert "etl" in question
        assert not told["confirmed"]["error"]
        assert paused == 1
    else:
        assert told["asked"] == []
        assert told["confirmed"]["error"]
        assert "cannot" in told["confirmed"]["text"]
        assert paused == 0
