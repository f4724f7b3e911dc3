"""The wheel works on its own: built, installed into an empty environment, and used from another folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent, Tool

from airflow_mcp.catalog.loader import load_catalog

ROOT = Path(__file__).parents[2]


def uv(*words: str | Path, cwd: Path) -> str:
    """Run uv and give what it prints."""
    found = os.environ.get("UV") or shutil.which("uv")
    if not found:
        pytest.fail("uv is not on the PATH; `make test` brings one.")
    done = subprocess.run([found, *words], cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    """This process's variables, without those that would lead to the checkout or to somebody's settings."""
    foreign = ("AIRFLOW_MCP_", "PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT", "COLUMNS")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | more


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--quiet", "--python", sys.executable, "--out-dir", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `airflow-mcp` command of an environment that holds the wheel and the locked dependencies, no more."""
    folder = tmp_path_factory.mktemp("installed")
    locked = folder / "locked.txt"
    locked.write_text(
        uv("export", "--frozen", "--quiet", "--no-dev", "--no-emit-project", "--no-hashes", cwd=ROOT), encoding="utf-8"
    )
    uv("venv", "--quiet", "--no-project", "--python", sys.executable, "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "--constraints", locked, wheel, cwd=folder)
    return python.parent / "airflow-mcp"


@pytest.fixture
def silent_address() -> Iterator[str]:
    """A loopback address that refuses connections: a port that is taken and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_the_wheel_carries_the_manifests_and_the_demos_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("tool_manifests", "airflow_mcp/demo/locks", "airflow_mcp/demo/dags"):
        inside = folder if folder.startswith("airflow_mcp") else f"airflow_mcp/{folder}"
        expected = {f"{inside}/{file.name}" for file in (ROOT / folder).iterdir() if file.suffix in (".toml", ".txt")}
        expected |= {f"{inside}/{file.name}" for file in (ROOT / folder).glob("*.py")}
        assert expected
        assert expected <= names
    assert "airflow_mcp/py.typed" in names


def test_the_wheel_carries_nothing_but_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    strays = [name for name in names if not name.startswith("airflow_mcp/") and ".dist-info/" not in name]
    assert strays == []
    assert [name for name in names if name.endswith(".pyc")] == []


def test_the_installed_command_prints_every_tool_from_another_folder(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed, "tools"], cwd=tmp_path, env=environment(COLUMNS="200"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert shown >= set(load_catalog().tools)


def test_the_installed_server_lists_every_read_and_names_the_trouble_when_there_is_no_airflow(
    installed: Path, tmp_path: Path, silent_address: str
) -> None:
    server = StdioServerParameters(command=str(installed), env={"AIRFLOW_MCP_URL": silent_address}, cwd=tmp_path)

    async def talk() -> tuple[list[Tool], CallToolResult]:
        async with Client(server) as client:
            return (await client.list_tools()).tools, await client.call_tool("list_dags", {})

    tools, refusal = anyio.run(talk)
    catalog = load_catalog()
    reads = {tool.name for tool in catalog.tools.values() if tool.entry.access == "read"}
    assert {tool.name for tool in tools} == {name for name in reads if is_listed(name)}
    assert refusal.is_error
    (said,) = refusal.content
    assert isinstance(said, TextContent)
    assert said.text == f"Airflow at {silent_address} cannot be reached. Is it running, and is AIRFLOW_MCP_URL right?"


def is_listed(name: str) -> bool:
    catalog = load_catalog()
    return bool({name, catalog.tools[name].toolset} & catalog.default)
