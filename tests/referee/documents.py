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
from airflow_mcp.demo.processes import hold_lock
from tests.referee.sources import SOURCES, Wheel

_PYTHON = "3.11"  # one that every source supports; nothing of the wheel is run
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
    """What an Airflow version serves, as one document: Airflow's own, that of its simple auth manager, and FAB's.

    All paths are whole. Where two documents have the same operation, the first one's counts.

    Raises:
        DocumentError: a part is not in the cache and cannot be downloaded.
    """
    paths: dict[str, dict[str, Any]] = {}
    parts: dict[str, Any] = {}
    for wheel in SOURCES[version]:
        for path, text in _texts(wheel, cache or cache_folder(), unpack).items():
            name = str(len(parts))
            part = json.loads(text, object_hook=lambda found, name=name: _moved(found, f"#/parts/{name}/"))
            parts[name] = part
            for at, item in part["paths"].items():
                shared = item.pop("parameters", [])
                whole = paths.setdefault(wheel.documents[path] + at, {})
                for method, spec in item.items():
                    whole.setdefault(method, spec | {"parameters": [*shared, *spec.get("parameters", [])]})
    return {"paths": paths, "parts": parts}


def _moved(found: dict[str, Any], place: str) -> dict[str, Any]:
    """An object of a document that lies at `place` of the whole one: its reference still leads where it did."""
    if isinstance(found.get("$ref"), str):
        found["$ref"] = found["$ref"].replace("#/", place, 1)
    return found


def _texts(wheel: Wheel, cache: Path, unpack: Unpack) -> dict[str, str]:
    """The documents of a wheel by their path in it, as JSON, from the cache or else from the wheel.

    Each is kept as it is (`.yaml`) and parsed (`.json`), since parsing takes seconds where PyYAML has no C library.
    Processes take turns, and a file appears under its name only when it is whole.
    """
    folder = cache / f"{wheel.package}-{wheel.version}"
    originals = {path: folder / path for path in wheel.documents}
    with hold_lock(cache / f"{folder.name}.lock", lambda: None):
        if not all(original.exists() for original in originals.values()):
            _unpacked(wheel, originals, unpack)
        return {path: _as_json(original) for path, original in originals.items()}


def _unpacked(wheel: Wheel, originals: dict[str, Path], unpack: Unpack) -> None:
    with tempfile.TemporaryDirectory(prefix="airflow-wheel-") as folder:
        unpack(str(wheel), Path(folder))
        for path in originals:
            if not Path(folder, path).is_file():
                raise DocumentError(f"The wheel of {wheel.package} {wheel.version} does not hold {path}.")
        for path, original in originals.items():
            _write(original, Path(folder, path).read_text(encoding="utf-8"))


def _as_json(original: Path) -> str:
    parsed = original.with_suffix(".json")
    if not parsed.exists() or parsed.stat().st_mtime < original.stat().st_mtime:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load(original.read_text(encoding="utf-8"), loader)
        _write(parsed, json.dumps(document, default=str))  # dates, which occur in examples only
    return parsed.read_text(encoding="utf-8")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
