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
    """Of the same version with other packages: tells its lock, environment and database from those of the plain one."""
    locks: Path = LOCKS

    @property
    def name(self) -> str:
        """The version, and the variant behind it."""
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
    """What a builder is given: make an environment in `folder` with `python` from `lock`."""

    folder: Path
    python: Path
    lock: Path
    keep: int
    """A file descriptor the builder's children keep open, so that the lock outlives us while they still write."""


def find_cache_folder() -> Path:
    """Where environments and homes are kept: AIRFLOW_MCP_DEMO_HOME, or else the user's cache folder."""
    chosen = os.environ.get("AIRFLOW_MCP_DEMO_HOME")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("airflow-mcp")


def find_release(version: str) -> Release:
    """The offered release of this version.

    Raises:
        DemoError: it is not offered; the sentence lists what is.
    """
    if version not in RELEASES:
        raise DemoError(f"The demo does not offer Airflow {version}; choose one of {', '.join(RELEASES)}.")
    return RELEASES[version]


def choose_python(release: Release, *, running: Path = Path(sys.executable), path: str | None = None) -> Path:
    """An interpreter `release` runs on: the running one, or else the first on `path` (the PATH when None).

    Raises:
        DemoError: there is none; the sentence says which versions would do.
    """
    found = [running, *(Path(at) for v in release.pythons if (at := shutil.which(f"python{v}", path=path)))]
    for python in found:
        if _read_python_version(python) in release.pythons:
            return python
    wanted = " or ".join(sorted(release.pythons, key=lambda v: int(v.split(".")[1])))
    raise DemoError(
        f"Airflow {release.version} needs Python {wanted}, and neither this Python ({_read_python_version(running)}) "
        "nor "
        f"the PATH offers one; install one (for example `uv python install {release.pythons[0]}`) and start again."
    )


def _read_python_version(python: Path) -> str:
    """What an interpreter says it is, like "3.12"; "unknown" for one that does not run, as a version manager's shim."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(  # noqa: S603 - an interpreter found on the PATH, and our own question
            [python, "-I", "-c", ask], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def find_uv() -> Path | None:
    """The `uv` that runs us, lies beside our Python or is on the PATH, if any."""
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    found = os.environ.get("UV") or beside or shutil.which("uv")
    return Path(found) if found else None


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
    inside = build.folder / "bin" / "python"
    packages = ["--no-deps", "--require-hashes", "-r", build.lock]
    uv = find_uv()
    if uv:
        make = [uv, "venv", "--no-project", "--python", build.python, build.folder]
        fill = [uv, "pip", "install", "--python", inside, "--compile-bytecode", *packages]
    else:
        make = [build.python, "-m", "venv", build.folder]
        fill = [inside, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *packages]
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
    """Install an Airflow (a version the demo offers, or any release) under `cache` unless that is done already.

    Gives the environment's Python.

    The mark of a finished installation is a file written last that names the lock file's content: an interrupted
    installation, or one from an older lock file, is done again. Two starts at once install one after the other.

    Raises:
        DemoError: the version is not offered, no Python fits, or a step of the installation failed.
    """
    release = find_release(wanted) if isinstance(wanted, str) else wanted
    folder = cache / "environments" / f"airflow-{release.name}"
    python, finished = folder / "bin" / "python", folder / "installed-from"
    content = hashlib.sha256(release.lock.read_bytes()).hexdigest()
    with hold_lock(folder.with_name(f"{folder.name}.lock"), lambda: report("waiting for another installation")) as keep:
        if python.exists() and finished.exists() and finished.read_text() == content:
            return python
        interpreter = choose_python(release)
        report(f"installing Airflow {release.name} into {cache}, once")
        if folder.exists():
            shutil.rmtree(folder)
        build(Build(folder, interpreter, release.lock, keep))
        finished.write_text(content)
    return python
