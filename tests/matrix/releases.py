"""The Airflows of the matrix: which, with which packages, and what an old one needs to be set otherwise."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_mcp.demo.install import Release, find_uv
from airflow_mcp.demo.processes import DemoError, Report, hold_lock, run_to_end


@dataclass(frozen=True)
class Entry:
    """A version, and the day whose packages it gets.

    A few weeks after a release its dependencies are what it was tested with; today's are often too new for it, and
    finding the upper bound of each anew is what a day in the past saves.
    """

    version: str
    day: str
    pythons: tuple[str, ...] = ("3.12", "3.11")
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables that win over those of the demo's Airflow."""
    dag_text: Callable[[str], str] = str
    """What the text of a DAG file must be there."""


FAB_IN_CORE = {
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.auth.managers.fab.fab_auth_manager.FabAuthManager",
    "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth,airflow.api.auth.backend.session",
}
"""Before Airflow 2.9 FAB is no provider."""


def dated(text: str) -> str:
    """A start date for every DAG, which Airflow needs before 2.8."""
    date = '__import__("datetime").datetime(2026, 1, 1)'
    return re.sub(r"schedule=None,(?![^()]*start_date)", f"schedule=None, start_date={date},", text)


ENTRIES = {
    entry.version: entry
    for entry in (
        Entry("2.7.3", "2023-12-01", pythons=("3.11",), options=FAB_IN_CORE, dag_text=dated),
        Entry("2.10.5", "2025-03-01"),
        Entry("3.0.6", "2025-09-20"),
        Entry("3.1.8", "2026-04-01"),
        Entry("3.2.2", "2026-06-20"),
    )
}


def locked(version: str, cache: Path, report: Report) -> Release:
    """The release with its lock file, which is made once per machine and day and kept in `cache`.

    Raises:
        DemoError: there is no uv, or the packages cannot be resolved.
    """
    entry = ENTRIES[version]
    release = Release(version, entry.pythons, locks=cache / "locks" / entry.day)
    with hold_lock(cache / "locks" / f"{version}.lock", lambda: report("waiting for another lock to be made")) as keep:
        if not release.lock.exists():
            report(f"choosing the packages of Airflow {version} as of {entry.day}, once")
            release.lock.parent.mkdir(parents=True, exist_ok=True)
            _resolve(release, entry.day, keep)
    return release


def _resolve(release: Release, day: str, keep: int) -> None:
    uv = find_uv()
    if uv is None:
        raise DemoError("The packages of an old Airflow can only be chosen by uv; install it and start again.")
    partial = release.lock.with_suffix(".partial")
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"]
    run_to_end(
        [uv, "pip", "compile", "-", "--quiet", *options, "--exclude-newer", day, "--output-file", partial],
        doing=f"Choosing the packages of Airflow {release.version}",
        cwd=release.lock.parent,
        env=os.environ,
        stdin=f"apache-airflow=={release.version}\n",
        keep=(keep,),
    )
    partial.replace(release.lock)
