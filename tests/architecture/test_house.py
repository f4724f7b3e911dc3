"""What no file of this project may hold: a path of somebody's machine, a registry's host, a secret."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written by uv, which names where it found each package.
BY_UV = re.compile(r"uv\.lock|airflow_mcp/demo/locks/.*")
# The user of Airflow's own image is called airflow, and its tracebacks say so.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|tmp)/(?!airflow/)[\w.-]+")
REGISTRY = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.org|ghcr\.io|docker\.io|quay\.io")
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[\w+/]{40}|AKIA(?!\w*EXAMPLE)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}"
)


@cache
def texts() -> dict[str, str]:
    """Every text file of the project, by its path. Those that git ignores are nobody's."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("This is no git checkout, so which files belong to it is not known.")
    found: dict[str, str] = {}
    for name in filter(None, done.stdout.split("\0")):
        file = ROOT / name
        if file.is_file():
            found[name] = file.read_bytes().decode(errors="replace")
    return found


def hits(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in texts().items()
        if not BY_UV.fullmatch(name)
        for match in pattern.finditer(text)
    ]


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert hits(MACHINE_PATH) == []


def test_no_file_names_a_registrys_host() -> None:
    assert hits(REGISTRY) == []


def test_no_file_holds_a_secret() -> None:
    assert hits(SECRET) == []


def test_every_line_ends_without_spaces_and_every_file_with_a_newline() -> None:
    sources = {name: text for name, text in texts().items() if name.endswith((".py", ".toml", ".md", "Makefile"))}
    assert [name for name, text in sources.items() if text and not text.endswith("\n")] == []
    assert [name for name, text in sources.items() if re.search(r"[ \t]+$", text, re.MULTILINE)] == []
