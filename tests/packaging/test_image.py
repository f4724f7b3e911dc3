"""The Dockerfile agrees with the package it builds, and what its steps make serves from a tree nobody can write to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters

from tests.packaging.image import USER, Stage, build, close, command, steps

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
BUILD, FINAL = DOCKERFILE.split("\nFROM ")[1:]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_label_says_the_packages_version_licence_and_description() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', FINAL))
    assert labels["title"] == PROJECT["name"]
    assert labels["version"] == PROJECT["version"]
    assert labels["licenses"] == PROJECT["license"]
    assert labels["description"] == PROJECT["description"]


def test_the_image_runs_as_a_numbered_user_who_is_not_root() -> None:
    users = re.findall(r"^USER (\d+):(\d+)$", FINAL, re.MULTILINE)
    assert len(users) == 1
    assert "0" not in users[0]


def test_the_final_stage_installs_nothing_and_removes_what_installs() -> None:
    (run,) = re.findall(r"^RUN (.*)$", FINAL, re.MULTILINE)
    assert run.startswith("pip uninstall --yes")
    assert not re.search(r"apt|install(?<!uninstall)|curl|wget", run)


def test_both_stages_have_the_same_python_so_that_the_environment_fits() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert ":" in bases[0]


def test_everything_the_build_copies_is_let_through_and_exists() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", BUILD, re.MULTILINE) for name in line.split()}
    assert copied == let_through
    assert [name for name in copied if not (ROOT / name).exists()] == []


@pytest.fixture(scope="module")
def image() -> Generator[Stage]:
    """The final stage, its tree closed to writing; where the image's user can reach it."""
    scratch = Path(tempfile.mkdtemp(prefix="airflow-mcp-image-"))
    scratch.chmod(0o755)
    try:
        stage = build(DOCKERFILE, ROOT, scratch)
        close(stage.root)
        yield stage
    finally:
        for folder in [scratch, *scratch.rglob("*")]:
            if folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o755)
        shutil.rmtree(scratch)


@pytest.fixture
def url() -> str:
    return "http://127.0.0.1:9"  # nothing listens there, and no test here needs an Airflow


def files(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def test_no_tool_that_builds_or_installs_is_in_the_final_tree(image: Stage) -> None:
    names = {path.name for path in files(image.root)}
    tools = re.compile(r"(pip|uv|uvx|gcc|g\+\+|cc|make|ld|cargo|hatch|hatchling|setuptools)[\d.]*")
    assert sorted(name for name in names if tools.fullmatch(name)) == []
    assert not (image.root / "src").exists()


def test_every_module_is_compiled_when_the_image_is_built(image: Stage) -> None:
    (installed,) = image.root.glob("opt/airflow-mcp/lib/python3*/site-packages")
    modules = [path for path in installed.rglob("*.py") if "dags" not in path.parts]
    bare = [path for path in modules if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
    assert len(modules) > 500
    assert bare == []


def test_the_image_serves_stdio_from_a_tree_that_nobody_can_write_to(image: Stage, url: str) -> None:
    before = files(image.root)
    words = command(image, image.entrypoint)
    server = StdioServerParameters(
        command=words[0], args=words[1:], env=image.environment(AIRFLOW_MCP_URL=url), cwd=str(image.root)
    )

    async def talk() -> list[str]:
        async with Client(server) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    assert "diagnose_dag_run" in anyio.run(talk)
    assert files(image.root) == before


def test_the_image_serves_http_and_its_health_check_tells_when_it_does(image: Stage, url: str) -> None:
    with serving(image, url) as address:
        assert httpx2.get(f"{address}/healthz", trust_env=False).json() == {"status": "ok"}
        port = address.rpartition(":")[2]
        assert check(image, AIRFLOW_MCP_HTTP_PORT=port).returncode == 0
    gone = check(image, AIRFLOW_MCP_HTTP_PORT=port)
    assert gone.returncode == 1
    assert "does not answer" in gone.stderr


def test_the_image_lets_nobody_in_from_elsewhere_without_tokens(image: Stage, url: str) -> None:
    words = command(image, [*image.entrypoint, "serve", "--transport", "http"])
    environment = image.environment(AIRFLOW_MCP_URL=url)
    refused = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=image.root)
    assert refused.returncode == 1
    assert "nobody need say who calls" in refused.stderr


def test_the_process_is_the_images_user_and_can_write_nowhere_in_it(image: Stage) -> None:
    assert image.user == f"{USER}:{USER}"
    program = "import os, sys; print(os.getuid(), [p for p, _, _ in os.walk(sys.argv[1]) if os.access(p, os.W_OK)])"
    words = command(image, ["python", "-c", program, str(image.root)])
    said = subprocess.run(words, env=image.environment(), capture_output=True, text=True, check=True, cwd=image.root)
    assert said.stdout.strip() == f"{USER if os.getuid() == 0 else os.getuid()} []"


def test_an_extra_that_is_asked_for_reaches_both_installations() -> None:
    runs = [rest for word, rest in steps(DOCKERFILE) if word == "RUN" and "uv sync" in rest]
    assert len(runs) == 2
    for run in runs:
        shown = run.replace("uv sync", "printf '%s '")
        said = subprocess.run(["/bin/sh", "-euc", shown], env={"EXTRAS": "redis otel"}, capture_output=True, text=True)
        assert said.stdout.split()[-4:] == ["--extra", "redis", "--extra", "otel"]
        assert (
            "--extra"
            not in subprocess.run(["/bin/sh", "-euc", shown], env={"EXTRAS": ""}, capture_output=True).stdout.decode()
        )


def check(image: Stage, **variables: str) -> subprocess.CompletedProcess[str]:
    """The image's HEALTHCHECK, run as an engine runs it, on loopback."""
    environment = image.environment(AIRFLOW_MCP_HTTP_HOST="127.0.0.1", **variables)
    words = command(image, image.healthcheck)
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=image.root)


@contextmanager
def serving(image: Stage, url: str) -> Generator[str]:
    """The address of the image's HTTP server, on a free port of loopback."""
    words = command(image, [*image.entrypoint, "serve", "--transport", "http", "--host", "127.0.0.1", "--port", "0"])
    environment = image.environment(AIRFLOW_MCP_URL=url)
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True, cwd=image.root)
    assert process.stderr is not None
    try:
        said = ""
        for line in process.stderr:
            said += line
            if "serving http" in line:
                break
        assert "serving http" in said, said
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield said.split("serving ")[1].split("/mcp")[0]
        process.terminate()
        assert process.wait(60) in (0, -signal.SIGTERM)  # uvicorn drains, and then ends by the signal that it got
        drain.join()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
