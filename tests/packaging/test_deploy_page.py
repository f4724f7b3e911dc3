"""The commands of docs/deploy.md that say `run` are run, a shell for each section, before a stand-in for Airflow."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.http.conftest import furnished
from tests.http.upstream import upstream

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
RUN = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {
    section.partition("\n")[0]: "".join(RUN.findall(section)) for section in re.split(r"^##+ ", PAGE, flags=re.M)
}
# A shell that fails leaves no server behind; one that is told to end has ended before its port is taken again.
BEFORE = "set -eu\ntrap 'kill $(jobs -p) 2> /dev/null || true; wait || true' EXIT\n"


def free_ports(count: int) -> list[int]:
    """As many ports of loopback that nobody listens on."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()


def test_every_block_of_the_page_says_what_it_is() -> None:
    fences = re.findall(r"^```(.*)$", PAGE, re.MULTILINE)[::2]
    assert set(fences) == {"sh", "sh run"}
    assert "not run here" in PAGE
    assert not [block for block in RUN.findall(PAGE) if re.search(r"\b(docker|kubectl|npx)\b", block)]


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="the page uses openssl and curl")
def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    empty = {"total_entries": 0}
    ready = furnished().on("GET", "/pools", {"pools": [], **empty}).on("GET", "/eventLogs", {"event_logs": [], **empty})
    said: dict[str, tuple[str, str]] = {}
    with upstream(ready.on("GET", "/dags/~/dagRuns", {"dag_runs": [], **empty})) as airflow:
        for section, commands in SECTIONS.items():
            if commands:
                said[section] = run(commands, tmp_path, airflow.url)
    assert list(said) == ["A laptop", "One server for a team", "TLS", "Replicas"]
    assert said["A laptop"][0].startswith("airflow-mcp ")
    assert '"etl"' in said["A laptop"][0]
    out, err = said["One server for a team"]
    stranger, alice = out.split("\n401\n")
    assert "2 tools: pause_dag, unpause_dag" in stranger
    assert '"etl"' in alice
    assert "to the bearers of tokens (alice)" in err
    assert 'airflow_mcp_calls_total{class="read",outcome="ok",tool="list_dags"} 1.0' in alice
    assert "SIGHUP: the rules and tokens were read again" in err
    assert said["TLS"][1].count("serving https://") == 1
    assert said["Replicas"][1].count("serving http://") == 2


def run(commands: str, folder: Path, airflow: str) -> tuple[str, str]:
    """What the commands print, with ports and an Airflow of this test's; each of them has to succeed."""
    script = BEFORE + re.sub(r"^(kill %.*)$", r"\1; wait || true", commands, flags=re.MULTILINE)
    for written, here in zip(("8765", "8766"), free_ports(2), strict=True):
        script = script.replace(written, str(here))
    script = script.replace("https://airflow.example.com", airflow)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    kept["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr
