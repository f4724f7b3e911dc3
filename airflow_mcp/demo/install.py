"""Installs a real Airflow from the lock file in the package into a private folder, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from airflow_mcp.demo.processes import DemoError, Report, hold_lock, run_to_end

LOCKS = Path(__file__).parent / "locks"


@dataclass(frozen=True)
class Release:
    """An Airflow release, and the Python versions it runs on, the preferred first."""

    version: str
    pythons: tuple[str, ...]
    variant: str = ""
    """Names a set of other packages for the same version, which has its own lock file, environment and database."""
    locks: Path = LOCKS

    @property
    def name(self) -> str:
        """The version, followed by the variant if any."""
        return f"{self.version}-{self.variant}" if self.variant else self.version

    @property
    def lock(self) -> Path:
        """The file that pins every package of this release with its hashes."""
        return self.locks / f"airflow-{self.name}.txt"


RELEASES = {
    release.version: release
    for release in (
        Release("3.3.2", ("3.12", "3.11", "3.13", "3.14")),
        Release("2.11.2", ("3.12", "3.11")),
    )
}
DEFAULT_VERSION = "3.3.2"


@dataclass(frozen=True)
class Build:
    """The arguments of a builder: make an environment in `folder` with `python` from `lock`."""

    folder: Path
    python: Path
    lock: Path
    keep: int
    """A file descriptor that the builder's children keep open, so that the lock lasts while they still write."""


def find_cache_folder() -> Path:
    """Return the folder of environments and homes: AIRFLOW_MCP_DEMO_HOME, or else the user's cache folder."""
    folder = os.environ.get("AIRFLOW_MCP_DEMO_HOME")
    return Path(folder).expanduser().absolute() if folder else platformdirs.user_cache_path("airflow-mcp")


def find_release(version: str) -> Release:
    """Return the offered release of this version.

    Raises:
        DemoError: it is not offered; the sentence lists those that are.
    """
    if version not in RELEASES:
        raise DemoError(f"The demo does not offer Airflow {version}; choose one of {', '.join(RELEASES)}.")
    return RELEASES[version]


def choose_python(release: Release, *, running: Path = Path(sys.executable), path: str | None = None) -> Path:
    """Choose an interpreter for `release`: the running one, or else the first on `path` (the PATH when None).

    Raises:
        DemoError: there is none; the sentence says which versions would do.
    """
    candidates = [running, *(Path(at) for v in release.pythons if (at := shutil.which(f"python{v}", path=path)))]
    for python in candidates:
        if _read_python_version(python) in release.pythons:
            return python
    versions = " or ".join(sorted(release.pythons, key=lambda v: int(v.split(".")[1])))
    raise DemoError(
        f"Airflow {release.version} needs Python {versions}, and neither this Python ({_read_python_version(running)}) "
        "nor "
        f"the PATH offers one; install one (for example `uv python install {release.pythons[0]}`) and start again."
    )


def _read_python_version(python: Path) -> str:
    """Return an interpreter's version, like "3.12"; "unknown" where it does not run, as a version manager's shim."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(  # noqa: S603 - an interpreter from the PATH, and our own script
            [python, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def find_uv() -> Path | None:
    """Find uv: the one that runs this process, lies beside its Python or is on the PATH; None without one."""
    neighbour = shutil.which("uv", path=str(Path(sys.executable).parent))
    path = os.environ.get("UV") or neighbour or shutil.which("uv")
    return Path(path) if path else None


def build_environment(build: Build) -> None:
    """Make the environment with uv, or with venv and pip when there is no uv.

    Raises:
        DemoError: a step failed; the sentence quotes the end of its output.
    """
    # Variables that would make another environment's packages visible to, or the target of, this one.
    env = {
        k: v
        for k, v in os.environ.items()
        if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET"}
    }
    target = build.folder / "bin" / "python"
    packages = ["--no-deps", "--require-hashes", "-r", build.lock]
    uv = find_uv()
    if uv:
        make = [uv, "venv", "--no-project", "--python", build.python, build.folder]
        fill = [uv, "pip", "install", "--python", target, "--compile-bytecode", *packages]
    else:
        make = [build.python, "-m", "venv", build.folder]
        fill = [target, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *packages]
    for command in (make, fill):
        name = " ".join(str(word) for word in command[1:4] if not str(word).startswith(("-", "/")))
        doing = f"Installing Airflow ({Path(command[0]).name} {name})"
        try:
            run_to_end(command, doing=doing, cwd=build.folder.parent, env=env, keep=(build.keep,))
        except DemoError as error:
            raise DemoError(
                f"{error}\nCheck the network, the proxy and the package index in use, then start again."
            ) from error


def install(
    wanted: str | Release, cache: Path, report: Report, build: Callable[[Build], None] = build_environment
) -> Path:
    """Install an Airflow under `cache` unless it is installed already, and return the environment's Python.

    `wanted` is a version the demo offers, or any release. The mark of a complete installation is a file, written last,
    with the digest of the lock file: an interrupted installation, or one from an older lock file, is done again. Two
    starts at once install one after the other.

    Raises:
        DemoError: the version is not offered, no Python fits, or a step of the installation failed.
    """
    release = find_release(wanted) if isinstance(wanted, str) else wanted
    folder = cache / "environments" / f"airflow-{release.name}"
    python, completion_mark = folder / "bin" / "python", folder / "installed-from"
    content = hashlib.sha256(release.lock.read_bytes()).hexdigest()
    with hold_lock(folder.with_name(f"{folder.name}.lock"), lambda: report("waiting for another installation")) as keep:
        if python.exists() and completion_mark.exists() and completion_mark.read_text() == content:
            return python
        interpreter = choose_python(release)
        report(f"installing Airflow {release.name} into {cache}, once")
        if folder.exists():
            shutil.rmtree(folder)
        build(Build(folder, interpreter, release.lock, keep))
        completion_mark.write_text(content)
    return python
