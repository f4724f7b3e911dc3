"""Follows a Dockerfile without an engine: each stage in turn is one folder, in which its steps are done for real."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

USER = 10001


@dataclass
class Stage:
    """What a stage has said so far; `root` holds its files, under the paths that they have in the image."""

    root: Path
    folder: str = "/"
    variables: dict[str, str] = field(default_factory=dict[str, str])
    user: str = "0"
    entrypoint: list[str] = field(default_factory=list[str])
    healthcheck: list[str] = field(default_factory=list[str])

    def inside(self, text: str) -> str:
        """The same text, with the paths of the image that matter here led into `root`."""
        return re.sub(r"(?<![\w/])/(?=(opt|src|usr/local)\b)", f"{self.root}/", text)

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a process in this stage, and the little that it needs of this machine."""
        machine = {
            name: value for name, value in os.environ.items() if re.search("PROXY|CERT|CA_BUNDLE|INDEX", name, re.I)
        }
        base = {"PATH": f"{self.root}/usr/local/bin:/usr/bin:/bin", "HOME": f"{self.root}/nowhere"}
        ours = {name: self.inside(value).replace("$PATH", base["PATH"]) for name, value in self.variables.items()}
        return machine | base | ours | more


def steps(dockerfile: str) -> list[tuple[str, str]]:
    """[("FROM", "python:3.13 AS build"), ...]: comments dropped, continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def build(dockerfile: str, context: Path, scratch: Path, **arguments: str) -> Stage:
    """The last stage, built. Raises CalledProcessError with the output of a RUN that fails, ValueError for a new word.

    The base image is an environment of this Python with pip, at /usr/local. uv keeps its cache.
    """
    root, earlier = scratch / "root", dict[str, Path]()
    stage, name = Stage(root), ""
    for word, rest in steps(dockerfile):
        match word:
            case "FROM":
                if root.exists():
                    earlier[name] = root.rename(scratch / (name or "unnamed"))
                name = rest.partition(" AS ")[2]
                stage = Stage(root)
                _base(root / "usr/local")
            case "ENV":
                stage.variables |= dict(pair.split("=", 1) for pair in shlex.split(rest))
                stage.variables.pop("UV_NO_CACHE", None)
            case "ARG":
                argument, _, default = rest.partition("=")
                stage.variables[argument] = arguments.get(argument, default.strip('"'))
            case "WORKDIR":
                stage.folder = rest
                Path(stage.inside(rest)).mkdir(parents=True)
            case "COPY":
                _copy(stage, shlex.split(rest), context, earlier)
            case "RUN":
                where = stage.inside(stage.folder) if stage.folder != "/" else root
                subprocess.run(
                    ["/bin/sh", "-euc", stage.inside(rest)],
                    cwd=where,
                    env=stage.environment(UV_CACHE_DIR=os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv"))),
                    check=True,
                    capture_output=True,
                    text=True,
                )
            case "USER":
                stage.user = rest
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "HEALTHCHECK":
                stage.healthcheck = json.loads(rest.partition(" CMD ")[2])
            case "LABEL" | "EXPOSE" | "STOPSIGNAL":
                pass
            case _:
                raise ValueError(f"{word} {rest}: this does not know how to follow that")
    return stage


def _base(prefix: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", prefix], check=True, capture_output=True)
    remove = [
        prefix / "bin/pip",
        "uninstall",
        "--yes",
        "setuptools",
    ]  # which only Pythons before the image's bring along
    subprocess.run(remove, check=True, capture_output=True)


def _copy(stage: Stage, words: list[str], context: Path, earlier: dict[str, Path]) -> None:
    origin = context
    if words[0].startswith("--from="):
        origin = earlier[words.pop(0).partition("=")[2]]
    *sources, target = words
    into = Path(stage.inside(target)) if target.startswith("/") else Path(stage.inside(stage.folder)) / target
    for source in sources:
        found = origin / source.lstrip("/")
        if found.is_dir():
            shutil.copytree(
                found, into, symlinks=True, ignore=shutil.ignore_patterns("__pycache__") if origin == context else None
            )
        else:
            shutil.copy2(found, into if target not in (".", "./") else into / found.name)


def close(root: Path) -> None:
    """Take every right to write away, and let others read: the root file system as read-only."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod((path.stat().st_mode | 0o444 | (0o111 if path.is_dir() else 0)) & ~0o222)


def as_stranger(words: list[str]) -> list[str]:
    """The command as the image's user, where this process may become it; else as this one, whom `close` binds too."""
    if os.getuid() != 0:
        return words
    who = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    return ["setpriv", *who, *words]


def command(stage: Stage, words: list[str]) -> list[str]:
    """A command of the image, found on its PATH, as its user runs it."""
    found = shutil.which(words[0], path=stage.environment()["PATH"])
    assert found, f"{words[0]} is not in the image"
    return as_stranger([found, *words[1:]])
