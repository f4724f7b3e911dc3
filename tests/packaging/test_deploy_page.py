"""The commands of docs/deploy.md that say `run` are run, in order, in one shell, before a stand-in for Airflow."""

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
BLOCKS = re.findall(r"^```sh run\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
AT_ITS_END = "trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n"  # a shell that fails leaves no server behind


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
    assert not [block for block in BLOCKS if re.search(r"\b(docker|kubectl|npx)\b", block)]


@pytest.mark.skipif(not shutil.which("openssl"), reason="the page makes a certificate with openssl")
def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    ports = dict(zip(("8765", "8766"), free_ports(2), strict=True))
    # Between one server's end and the next one's start on the same port, the shell waits for the first.
    script = "set -eu\n" + AT_ITS_END + "".join(BLOCKS)
    script = re.sub(r"^(kill %.*)$", r"\1; wait || true", script, flags=re.MULTILINE)
    for written, port in ports.items():
        script = script.replace(written, str(port))
    with upstream(furnished()) as airflow:
        script = script.replace("https://airflow.example.com", airflow.url)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
        kept["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=kept, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.startswith("airflow-mcp ")
    assert "\n401\n" in done.stdout
    assert '"etl"' in done.stdout.partition("\n401\n")[2]
    assert done.stderr.count("serving http://") == 3
    assert done.stderr.count("serving https://") == 1
    assert "alice" in done.stderr
