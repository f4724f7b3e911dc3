"""Serves a copy of a seeded Airflow: its API alone, so that nothing in it ever changes by itself."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_mcp.demo import airflow_home
from airflow_mcp.demo.airflow_home import Memory
from airflow_mcp.demo.install import cache_folder, install
from airflow_mcp.demo.local_airflow import LocalAirflow, quiet
from airflow_mcp.demo.prepare import prepare
from airflow_mcp.demo.processes import DemoError, Report, end_marked, held
from airflow_mcp.demo.readiness import Api
from tests.stories.build import USERS, ran_home
from tests.stories.seed import seed

PATIENCE = 120.0
BEAT = 3.0
"""Seconds between heartbeats: Airflow calls a component unhealthy after 30 without one."""

SCHEDULER, TRIGGERER, DAG_PROCESSOR = "SchedulerJob", "TriggererJob", "DagProcessorJob"


class World(LocalAirflow):
    """A seeded Airflow that only answers questions; scheduler, triggerer and DAG processor seem to be well."""

    _heart: Heart | None = None

    @classmethod
    def serve(
        cls, version: str, home: Path, report: Report = quiet, *, cache: Path | None = None, port: int = 0
    ) -> Self:
        """Serve a copy of the stories of Airflow `version` in the new folder `home`; they are built if need be.

        Raises:
            DemoError: installing, building or starting failed.
        """
        cache = cache or cache_folder()
        built = ran_home(version, report, cache)
        report("seeding a copy")
        _copy(built, home)
        seed(home, version, timedelta(seconds=time.time() - float((built / "finished").read_text())))
        return cls.serve_home(version, home, report, cache=cache, port=port)

    @classmethod
    def serve_home(
        cls, version: str, home: Path, report: Report = quiet, *, cache: Path | None = None, port: int = 0
    ) -> Self:
        """Serve the stopped Airflow in `home`, whose users are USERS, with its database as it is.

        Raises:
            DemoError: installing or starting failed.
        """
        cache = cache or cache_folder()
        python = install(version, cache, report)
        memory = Memory.of(home)
        memory.mark = secrets.token_urlsafe(24)  # the one it was built with is every copy's
        memory.port, memory.task_port = airflow_home.free_ports(port, 0)
        memory.save(home)
        with ExitStack() as undo:
            undo.enter_context(held(home / "lock", lambda: None))
            undo.callback(end_marked, memory.mark)
            users = {name: name for name in USERS}
            env = airflow_home.environment(version, home, home / "dags", memory, python, users)
            prepare(version, home, cache, memory, python, users, env, report)
            world = cls(version, home, memory, undo.pop_all())
        try:
            report(f"serving Airflow {version} on {world.url}")
            started = datetime.now(UTC)
            world._heart = Heart(home / "airflow.db")
            name = "webserver" if version.startswith("2.") else "api-server"
            world._start_components(python, env, {name: airflow_home.components(version, memory)[name]})
            world._wait_until_it_answers(name, started)
        except BaseException:
            world.stop()
            raise
        return world

    @contextmanager
    def dead(self, job_type: str, minutes: float = 120) -> Generator[None]:
        """For the block, one of Airflow's processes has not been heard of for so long, as after a crash."""
        assert self._heart is not None, "not served"
        with self._heart.still(job_type, datetime.now(UTC) - timedelta(minutes=minutes)):
            yield

    def stop(self) -> None:
        """End every process, and the heartbeats."""
        if self._heart is not None:
            self._heart.stop()
        super().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_it_answers(self, component: str, started: datetime) -> None:
        api = Api(self.version, self.url, self.username, self.password)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.check()
            with suppress(OSError, ValueError, HTTPException):  # not listening yet, or an error page while it starts
                if api.scheduler_is_healthy_since(started):
                    return
            time.sleep(0.2)
        raise DemoError(f"Airflow did not answer after {PATIENCE:.0f} seconds. {self._log_end(component)}")


class Heart:
    """Keeps the heartbeats of processes that do not run fresh, in Airflow's database."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._alive = {SCHEDULER, TRIGGERER, DAG_PROCESSOR}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heart of an Airflow")
        self._thread.start()

    def stop(self) -> None:
        """No more heartbeats. May be called twice."""
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def still(self, job_type: str, since: datetime) -> Generator[None]:
        """For the block, that process has not been heard of since then."""
        with self._lock:
            self._alive.discard(job_type)
            self._write(job_type, since)
        try:
            yield
        finally:
            with self._lock:
                self._alive.add(job_type)
                self._write(job_type, datetime.now(UTC))

    def _run(self) -> None:
        while not self._stopped.wait(BEAT):
            self._beat()

    def _beat(self) -> None:
        with self._lock:
            for job_type in self._alive:
                self._write(job_type, datetime.now(UTC))

    def _write(self, job_type: str, moment: datetime) -> None:
        with closing(sqlite3.connect(self._database, timeout=60, isolation_level=None)) as connection:
            connection.execute(
                "UPDATE job SET state = 'running', end_date = NULL, latest_heartbeat = ? WHERE job_type = ?",
                [f"{moment:%Y-%m-%d %H:%M:%S.%f}", job_type],
            )


def _copy(built: Path, home: Path) -> None:
    """Copy a home but for what its processes left behind."""
    left = shutil.ignore_patterns("lock", "*.pid", "*.err", "*.out", "scheduler*", "dag_processor*", "triggerer*")
    shutil.copytree(built, home, dirs_exist_ok=True, ignore=left)
