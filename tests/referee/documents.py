"""Airflow's own OpenAPI documents, taken out of its wheels once and kept in a cache folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from airflow_mcp.demo.install import find_uv
from airflow_mcp.demo.processes import held

VERSIONS = ("2.7.3", "2.10.5", "2.11.2", "3.0.6", "3.1.8", "3.2.2", "3.3.2")

_IN_WHEEL = {
    "2": ("apache-airflow", "airflow/api_connexion/openapi/v1.yaml"),
    "3": ("apache-airflow-core", "airflow/api_fastapi/core_api/openapi/v2-rest-api-generated.yaml"),
}
_PYTHON = "3.11"  # one that every version above supports; nothing of the wheel is run
_ENOUGH = 600  # seconds for one wheel

Unpack = Callable[[str, Path], None]
"""Given "name==version" and an empty folder: unpack that wheel there. Raises DocumentError."""


class DocumentError(Exception):
    """A document cannot be had; `str()` is one sentence that says why."""


def cache_folder() -> Path:
    """`openapi/` in the user's cache folder, or in the one AIRFLOW_MCP_TEST_CACHE names."""
    root = os.environ.get("AIRFLOW_MCP_TEST_CACHE") or platformdirs.user_cache_dir("airflow-mcp")
    return Path(root).expanduser().absolute() / "openapi"


def unpack_wheel(requirement: str, folder: Path) -> None:
    """Unpack a wheel with uv, or with pip where there is no uv; both ask the index they are configured for.

    Raises:
        DocumentError: neither is there, or it failed.
    """
    wanted = ["--no-deps", "--only-binary", ":all:", "--python-version", _PYTHON, "--target", str(folder), requirement]
    if uv := find_uv():
        command = [str(uv), "pip", "install", "--python", sys.executable, *wanted]
    elif find_spec("pip"):
        command = [sys.executable, "-m", "pip", "install", "--no-input", *wanted]
    else:
        raise DocumentError(f"{requirement} cannot be downloaded without uv or pip: put a uv on the PATH.")
    # Variables that would put the files somewhere else.
    elsewhere = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "UV_SYSTEM_PYTHON"}
    env = {key: value for key, value in os.environ.items() if key not in elsewhere}
    try:
        subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=_ENOUGH)
    except subprocess.CalledProcessError as error:
        said = re.split(r"(?i)\berror: ", " ".join(error.stderr.split()))[-1][:300]
        raise DocumentError(f"{requirement} cannot be downloaded; {'uv' if uv else 'pip'} says: {said}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DocumentError(f"{requirement} cannot be downloaded: {error}.") from None


def read_document(version: str, cache: Path | None = None, unpack: Unpack = unpack_wheel) -> dict[str, Any]:
    """The OpenAPI document of an Airflow version, from the cache or else from its wheel.

    It is kept as it is (`<version>.yaml`) and parsed (`<version>.json`), since parsing takes seconds where PyYAML
    has no C library. Processes take turns, and a file appears under its name only when it is whole.

    Raises:
        DocumentError: it is not in the cache and cannot be downloaded.
    """
    cache = cache or cache_folder()
    original, parsed = cache / f"{version}.yaml", cache / f"{version}.json"
    with held(cache / f"{version}.lock", lambda: None):
        if not original.exists():
            _write(original, _from_wheel(version, unpack))
        if not parsed.exists() or parsed.stat().st_mtime < original.stat().st_mtime:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            document = yaml.load(original.read_text(encoding="utf-8"), loader)
            _write(parsed, json.dumps(document, default=str))  # dates, which occur in examples only
    return json.loads(parsed.read_text(encoding="utf-8"))


def _from_wheel(version: str, unpack: Unpack) -> str:
    package, path = _IN_WHEEL[version.partition(".")[0]]
    with tempfile.TemporaryDirectory(prefix="airflow-wheel-") as folder:
        unpack(f"{package}=={version}", Path(folder))
        document = Path(folder, path)
        if not document.is_file():
            raise DocumentError(f"The wheel of {package} {version} does not hold {path}.")
        return document.read_text(encoding="utf-8")


def _write(file: Path, text: str) -> None:
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
