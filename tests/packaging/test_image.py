"""The Dockerfile agrees with the package it builds, as far as that shows without an engine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

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


def test_nothing_is_installed_in_the_final_stage() -> None:
    assert not re.search(r"^RUN ", FINAL, re.MULTILINE)


def test_both_stages_have_the_same_python_so_that_the_environment_fits() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert ":" in bases[0]


def test_everything_the_build_copies_is_let_through_and_exists() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", BUILD, re.MULTILINE) for name in line.split()}
    assert copied == let_through
    assert [name for name in copied if not (ROOT / name).exists()] == []
