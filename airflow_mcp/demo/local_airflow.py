"""Starts a real Airflow on loopback with SQLite, waits until it is ready, and ends all its processes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_mcp.demo import airflow_home
from airflow_mcp.demo.airflow_home import LOOPBACK, AirflowProcess, HomeMemory, build_database_url
from airflow_mcp.demo.install import Release, find_cache_folder, find_release, install
from airflow_mcp.demo.metadata_database import prepare_home
from airflow_mcp.demo.processes import DemoError, FolderBusyError, Report, end_marked, hold_lock, read_tail
from airflow_mcp.demo.readiness import ReadinessApi, find_dag_files


def ignore_report(_: str) -> None:
    """Ignore the report."""


class LocalAirflow:
    """A running Airflow. Use `start`, then `stop`, or a `with` block.

    `url` is its root, like http://127.0.0.1:8080; `username` and `password` are the administrator's; `passwords` has
    every user's. Processes of an earlier run of the same home whose starter was killed are ended by the next start.
    """

    username = "admin"

    def __init__(self, version: str, home: Path, memory: HomeMemory, lock: ExitStack) -> None:
        self.version = version
        self.home = home
        self.url = f"http://{LOOPBACK}:{memory.port}"
        self.passwords = dict(memory.passwords)
        self._mark = memory.mark
        self._lock = lock
        self._components: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def password(self) -> str:
        """The administrator's password."""
        return self.passwords[self.username]

    @classmethod
    def start(
        cls,
        wanted: str | Release,
        home: Path,
        dags_folder: Path,
        report: Report = ignore_report,
        *,
        cache: Path | None = None,
        users: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        timeout: float = 300.0,
    ) -> Self:
        """Start an Airflow in `home` with the DAG files of `dags_folder`, installing it first if need be.

        `wanted` is a version the demo offers, or any release. After `stop` the caller may keep `home` or remove it: a
        kept home starts faster and remembers its runs, port and passwords; a new one gets a copy of a migrated database
        from `cache` (the user's cache folder when None). `users` maps names to roles (admin, op, user or viewer),
        beside the administrator `admin`. `options` are further environment variables, which win over ours. Returns when
        the scheduler is healthy and every DAG file is listed or has an import error; waits at most `timeout` seconds
        for that. Every *.py file that mentions both "dag" and "airflow" counts as a DAG file, as it does for Airflow.

        Raises:
            FolderBusyError: an Airflow runs in this home already.
            DemoError: installing or starting failed; the sentence names the log file and quotes its end.
        """
        home, dags_folder, cache = home.absolute(), dags_folder.absolute(), cache or find_cache_folder()
        all_users = {cls.username: "admin", **(users or {})}
        release = find_release(wanted) if isinstance(wanted, str) else wanted
        version = release.version
        python = install(release, cache, report)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as cleanup:
            cleanup.enter_context(hold_lock(home / "lock", lambda: _refuse_busy(home)))
            memory = HomeMemory.load(home)
            end_marked(memory.mark)
            memory.port, memory.task_port = airflow_home.find_free_ports(memory.port, memory.task_port)
            for user in all_users:
                memory.password(user)
            memory.save(home)  # before the first process, so that its mark is on disk after any crash
            cleanup.callback(end_marked, memory.mark)
            env = airflow_home.build_environment(version, home, dags_folder, memory, python, all_users) | dict(
                options or {}
            )
            prepare_home(release.name, home, cache, memory, python, all_users, env, report)
            airflow = cls(version, home, memory, cleanup.pop_all())
        try:
            report(f"starting Airflow {version} on {airflow.url}")
            airflow._start_components(python, env, airflow_home.list_processes(version, memory))
            airflow._wait_until_ready(dags_folder, report, timeout)
        except BaseException:
            airflow.stop()
            raise
        return airflow

    def stop(self) -> None:
        """End every process of this Airflow, tasks included, and release the home. May be called twice.

        Raises:
            DemoError: a process does not end even when killed.
        """
        try:
            self._lock.close()
        except KeyboardInterrupt:  # a second Ctrl-C: kill at once, and leave no process behind
            end_marked(self._mark, grace=0)
            raise
        for process in self._components.values():
            process.wait()

    def check(self) -> None:
        """Check that every component runs.

        Raises:
            DemoError: one has ended; the sentence names its log file and quotes its end.
        """
        for name, process in self._components.items():
            if process.poll() is not None:
                raise DemoError(
                    f"The {name} of the local Airflow ended with exit code {process.returncode}. "
                    f"{self._read_log_end(name)}"
                )

    def find_log_file(self, component: str) -> Path:
        """Return the log file of a component: scheduler, triggerer, api-server (webserver on Airflow 2) and so on."""
        return self.home / "logs" / f"{component}.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_components(self, python: Path, env: dict[str, str], components: dict[str, AirflowProcess]) -> None:
        self.find_log_file("any").parent.mkdir(exist_ok=True)
        for name, component in components.items():
            with self.find_log_file(name).open("wb") as log:
                self._components[name] = subprocess.Popen(  # noqa: S603 - the commands are ours
                    [python, "-m", "airflow", *component.words],
                    cwd=self.home,
                    env=build_database_url(self.home / "airflow.db", component.lock_wait) | env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C in the terminal then reaches this process only
                )

    def _wait_until_ready(self, dags_folder: Path, report: Report, timeout: float) -> None:
        started, deadline = datetime.now(UTC), time.monotonic() + timeout
        api = ReadinessApi(self.version, self.url, self.username, self.password)
        missing_part = "the health endpoint"
        waiting_for_dags = False
        while time.monotonic() < deadline:
            self.check()
            try:
                if not api.scheduler_is_healthy_since(started):
                    missing_part = "a healthy scheduler"
                else:
                    if not waiting_for_dags:
                        report("waiting until every DAG is listed")
                        waiting_for_dags = True
                    unlisted_files = find_dag_files(dags_folder) - api.list_files(dags_folder)
                    if not unlisted_files:
                        return
                    missing_part = "the DAGs of " + ", ".join(sorted(file.name for file in unlisted_files))
            except (OSError, ValueError, HTTPException) as error:  # not listening yet, or an error page while it starts
                missing_part = f"an answer of the API ({error})"
            time.sleep(0.5)
        component = "scheduler" if self.version.startswith("2.") or "DAGs" not in missing_part else "dag-processor"
        raise DemoError(
            f"The local Airflow was not ready after {timeout:.0f} seconds, still waiting for {missing_part}. "
            f"{self._read_log_end(component)}"
        )

    def _read_log_end(self, component: str) -> str:
        log = self.find_log_file(component)
        return f"Its log {log} ends:\n{read_tail(log.read_text(errors='replace'))}"


def _refuse_busy(home: Path) -> None:
    raise FolderBusyError(
        f"An Airflow started by airflow-mcp runs in {home} already; stop that one (Ctrl-C where it was started) or set "
        "AIRFLOW_MCP_DEMO_HOME to another folder."
    )
