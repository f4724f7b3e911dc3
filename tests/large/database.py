"""Builds the home of a large Airflow: 5,000 DAGs, 305,000 runs, 935,000 task instances, 200,000 events, in SQLite.

Airflow itself parses two small DAGs; their rows are the models of all others. Of the runs of the last day over a
hundred failed, each with a log; one run has 50,000 mapped task instances. On demand everything is smaller by a factor.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from airflow_mcp.demo import airflow_home
from airflow_mcp.demo.airflow_home import Memory, database_url
from airflow_mcp.demo.install import DEFAULT_VERSION, cache_folder, install
from airflow_mcp.demo.prepare import prepare
from airflow_mcp.demo.processes import Report, run_to_end
from tests.large.played_back import DAGS, HUGE, HUGE_RUN, MAPPED_STATES
from tests.stories.build import USERS
from tests.stories.seed_logs import Logs

MODELS = Path(__file__).parent / "dags"
STEPS = 16  # tasks of a DAG
DAYS = 61  # runs of a DAG
_DAYS_WITH_TASKS = 8  # older runs keep their task instances where they failed, and on one day
_OLD_DAY_WITH_TASKS = 30
_EVENTS = 200_000
_EVENT_EVERY = timedelta(seconds=20)
_NO_CONFIG = b"\x80\x05}\x94."  # an empty dict, pickled as Airflow pickles the executor's options

CAUSES = (
    ("OperationalError", 'connection to server at "db-{n}.internal", port 5432 failed: Connection refused'),
    ("KeyError", "'customer_{n}'"),
    ("ValueError", "batch {n} has no rows"),
    ("TimeoutError", "partner {n} did not answer within 30 seconds"),
    ("HTTPError", "503 Server Error: Service Unavailable for url: https://bank.example/v1/rates/{n}"),
    ("HTTPError", "401 Client Error: Unauthorized for url: https://crm.example/contacts/{n}"),
    ("OSError", "[Errno 28] No space left on device: 'part-{n}.parquet'"),
    ("FileNotFoundError", "[Errno 2] No such file or directory: 'orders-{n}.csv'"),
    ("PermissionError", "token of service account etl-{n} expired"),
    ("ProgrammingError", 'column "discount_rate" does not exist'),
    ("UnicodeDecodeError", "'utf-8' codec can't decode byte 0xff in position {n}: invalid start byte"),
    ("ZeroDivisionError", "division by zero"),
    ("AssertionError", "checksum of export {n} differs from the one in the manifest"),
    ("IntegrityError", 'duplicate key value violates unique constraint "orders_pkey": id {n}'),
    ("ModuleNotFoundError", "No module named 'acme_pricing'"),
)
"""What failed tasks say, the frequent first; `n` differs between those of one cause."""


@dataclass(frozen=True)
class Size:
    """How much there is, as a share of the whole size."""

    scale: float = 1.0

    @property
    def dags(self) -> list[str]:
        """The ids of the DAGs."""
        return DAGS[: self._part(len(DAGS))]

    @property
    def mapped(self) -> dict[str, int]:
        """How many mapped task instances of the wide run are in which state, in the order of their indexes."""
        return {state: self._part(many) for state, many in MAPPED_STATES.items()}

    @property
    def events(self) -> int:
        """How many rows the event log has."""
        return self._part(_EVENTS)

    def _part(self, whole: int) -> int:
        return max(1, round(whole * self.scale))


class Run(NamedTuple):
    """One run: `day` counts back from 0, the last 24 hours."""

    number: int
    dag_id: str
    run_id: str
    day: int
    state: str
    start: datetime
    end: datetime | None


def build(home: Path, size: Size, report: Report) -> dict[str, int]:
    """Build a stopped Airflow in the new folder `home`, and return the rows of each table.

    Raises:
        DemoError: Airflow cannot be installed, or does not parse the models.
    """
    version, cache = DEFAULT_VERSION, cache_folder()
    python = install(version, cache, report)
    home.mkdir(parents=True, mode=0o700)
    dags = home / "dags"
    shutil.copytree(MODELS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    roles = {name: name for name in USERS}
    memory = Memory(passwords=dict(USERS))
    memory.save(home)
    env = airflow_home.environment(version, home, dags, memory, python, roles)
    prepare(version, home, cache, memory, python, roles, env, report)
    report("parsing the models")
    database = home / "airflow.db"
    command = [python, "-m", "airflow", "dags", "reserialize"]
    run_to_end(command, doing="Parsing the models", cwd=home, env=database_url(database, lock_wait=60) | env)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        return LargeDatabase(connection, Logs(home / "logs", dags, version), size).fill(report)


class LargeDatabase:
    """An Airflow's open database, which has the rows of the models, and its logs."""

    def __init__(self, connection: sqlite3.Connection, logs: Logs, size: Size) -> None:
        self._db = connection
        self._logs = logs
        self._size = size
        self._now = datetime.now(UTC)
        self._random = random.Random(7)
        self._versions: dict[str, str] = {}

    def fill(self, report: Report) -> dict[str, int]:
        """Write everything, and return the rows of each table."""
        for pragma in ("foreign_keys = off", "journal_mode = off", "synchronous = off", "cache_size = -500000"):
            self._db.execute(f"PRAGMA {pragma}")
        tables = ("dag", "dag_run", "task_instance", "log")
        marks = ", ".join("?" * len(tables))
        indexes = self._db.execute(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL AND tbl_name IN ({marks})",
            tables,
        ).fetchall()
        for name, _ in indexes:  # one by one they are made in a fraction of the time
            self._db.execute(f"DROP INDEX {name}")
        self._db.execute("BEGIN")
        report(f"writing {len(self._size.dags):,} DAGs and their runs")
        self._write_dags()
        runs = [*self._runs()]
        self._write_runs(runs)
        report("writing task instances, logs and events")
        self._insert("task_instance", self._task_instances(runs))
        self._insert("log", self._events())
        self._insert("job", self._jobs())
        self._db.execute("COMMIT")
        report("writing indexes")
        for _, sql in indexes:
            self._db.execute(sql)
        self._db.execute("ANALYZE")
        self._db.execute("PRAGMA journal_mode = WAL")
        return {table: self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}

    def _insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Insert rows that all have the columns of the first one."""
        rows = iter(rows)
        first = next(rows)
        statement = f"INSERT INTO {table} ({', '.join(first)}) VALUES ({', '.join('?' * len(first))})"
        self._db.execute(statement, [*first.values()])
        self._db.executemany(statement, ([*row.values()] for row in rows))

    def _write_dags(self) -> None:
        """Write each DAG as a copy of its model, with the serialized tasks, and take the models away."""
        tables = ("dag", "dag_version", "serialized_dag", "dag_code")
        models = {name: {table: self._row(table, name) for table in tables} for name in ("model_chain", "model_fan")}
        for table in (*reversed(tables), "dag_tag"):
            self._db.execute(f"DELETE FROM {table}")
        for number, dag_id in enumerate(self._size.dags):
            name = "model_fan" if dag_id == HUGE else "model_chain"
            team, file = dag_id.partition(".")[0], f"{dag_id}.py"
            version, model = UUID(int=number + 1).hex, models[name]
            self._versions[dag_id] = version
            paused = dag_id != HUGE and self._random.random() < 0.2
            changed: dict[str, dict[str, Any]] = {
                "dag": {"is_paused": paused, "owners": team, "fileloc": file, "relative_fileloc": file},
                "dag_version": {"id": version},
                "serialized_dag": {
                    "id": version,
                    "dag_version_id": version,
                    "dag_hash": version,
                    "data": model["serialized_dag"]["data"].replace(name, dag_id),
                },
                "dag_code": {"id": version, "dag_version_id": version, "fileloc": file},
            }
            for table in tables:
                self._insert(table, [model[table] | {"dag_id": dag_id} | changed[table]])
            self._insert("dag_tag", [{"name": team, "dag_id": dag_id}])

    def _row(self, table: str, dag_id: str) -> dict[str, Any]:
        found = self._db.execute(f"SELECT * FROM {table} WHERE dag_id = ?", [dag_id])
        return dict(zip([column[0] for column in found.description], found.fetchone(), strict=True))

    def _runs(self) -> Iterator[Run]:
        number = 0
        for place, dag_id in enumerate(self._size.dags):
            for day in range(DAYS):
                number += 1
                start = self._now - timedelta(hours=24 * day + place % 24, minutes=5 + place % 55, seconds=place % 59)
                run_id = f"scheduled__{start.isoformat()}"
                state = "failed" if self._random.random() < (0.04 if day else 0.03) else "success"
                if day == 0 and dag_id == HUGE:
                    run_id, state, start = HUGE_RUN, "running", self._now - timedelta(minutes=90)
                elif day == 0 and place % 125 == 1:
                    state = "running"
                end = min(start + timedelta(minutes=self._random.randint(1, 50)), self._now)
                yield Run(number, dag_id, run_id, day, state, start, None if state == "running" else end)

    def _write_runs(self, runs: list[Run]) -> None:
        template = self._db.execute("SELECT max(id) FROM log_template").fetchone()[0]
        self._insert(
            "dag_run",
            (
                {
                    "id": run.number,
                    "dag_id": run.dag_id,
                    "run_id": run.run_id,
                    "run_type": "scheduled",
                    "triggered_by": "TIMETABLE",
                    "state": run.state,
                    "logical_date": moment(run.start),
                    "run_after": moment(run.start),
                    "queued_at": moment(run.start),
                    "start_date": moment(run.start),
                    "end_date": moment(run.end),
                    "created_at": moment(run.start),
                    "updated_at": moment(run.end or self._now),
                    "conf": "{}",
                    "log_template_id": template,
                    "created_dag_version_id": self._versions[run.dag_id],
                }
                for run in runs
            ),
        )

    def _task_instances(self, runs: list[Run]) -> Iterator[dict[str, Any]]:
        """Every task instance of the last days and of failed runs; a failed one of the last day gets its log."""
        number = 0
        for run in runs:
            if run.day >= _DAYS_WITH_TASKS and run.day != _OLD_DAY_WITH_TASKS and run.state != "failed":
                continue
            for task_id, map_index, state in self._states(run):
                number += 1
                yield self._task_instance(number, run, task_id, map_index, state)
                if state == "failed" and run.day == 0:
                    self._write_log(run, task_id, map_index, number)

    def _states(self, run: Run) -> Iterator[tuple[str, int, str | None]]:
        """The task id, map index and state of each task instance of a run."""
        if run.dag_id == HUGE:
            first = 0
            for state, many in (self._size.mapped if run.run_id == HUGE_RUN else {run.state: 3}).items():
                yield from (("fan", index, state) for index in range(first, first + many))
                first += many
            yield ("publish", -1, {"running": None, "failed": "upstream_failed"}.get(run.state, "success"))
            return
        ends = STEPS if run.state == "success" else self._random.randrange(STEPS)
        rest = {"failed": "upstream_failed"}.get(run.state)
        for step in range(STEPS):
            state = "success" if step < ends else run.state if step == ends else rest
            yield (f"step_{step:02d}", -1, state)

    def _task_instance(self, number: int, run: Run, task_id: str, map_index: int, state: str | None) -> dict[str, Any]:
        started = state not in (None, "scheduled", "upstream_failed")
        end = run.end or run.start + timedelta(minutes=10)
        ended = state not in (None, "scheduled", "running")
        return {
            "id": UUID(int=number).hex,
            "task_id": task_id,
            "task_display_name": task_id,
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "map_index": map_index,
            "state": state,
            "scheduled_dttm": None if state is None else moment(run.start),
            "queued_dttm": moment(run.start) if started else None,
            "start_date": moment(run.start) if started else None,
            "end_date": moment(end) if ended else None,
            "duration": (end - run.start).total_seconds() if started and ended else None,
            "updated_at": moment(end),
            "try_number": int(started),
            "max_tries": 0,
            "hostname": "worker-1" if started else "",
            "unixname": "airflow",
            "pool": "default_pool",
            "pool_slots": 1,
            "queue": "default",
            "priority_weight": 1,
            "operator": "_PythonDecoratedOperator",
            "executor_config": _NO_CONFIG,
            "dag_version_id": self._versions[run.dag_id],
        }

    def _write_log(self, run: Run, task_id: str, map_index: int, number: int) -> None:
        """Write the log of a failed task instance; the mapped ones fail for three causes, runs for all of them."""
        kind, message = (
            CAUSES[map_index % 3] if map_index >= 0 else CAUSES[int(self._random.random() ** 2 * len(CAUSES))]
        )
        file = self._logs.file(run.dag_id, run.run_id, task_id, map_index)
        file.parent.mkdir(parents=True, exist_ok=True)
        frames = [{"filename": f"/opt/airflow/dags/{run.dag_id}.py", "lineno": 20, "name": task_id}]
        fault = {"exc_type": kind, "exc_value": message.format(n=number), "frames": frames}
        lines: list[dict[str, Any]] = [
            {"level": "info", "event": "::group::Pre Execute"},
            {"level": "info", "event": "::endgroup::"},
            *({"level": "info", "event": f"loading part {part}", "logger": "task.stdout"} for part in range(200)),
            {"level": "error", "event": "Task failed with exception", "error_detail": [fault]},
        ]
        at = (run.end or run.start).isoformat()
        file.write_text("".join(f"{json.dumps({'timestamp': at, 'logger': 'task', **line})}\n" for line in lines))

    def _events(self) -> Iterator[dict[str, Any]]:
        """One event every 20 seconds, as tasks report what they do and people change DAGs."""
        dags = self._size.dags
        for number in range(self._size.events):
            yield {
                "dttm": moment(self._now - number * _EVENT_EVERY),
                "dag_id": self._random.choice(dags),
                "task_id": f"step_{number % STEPS:02d}",
                "map_index": -1,
                "event": self._random.choice(
                    ("running", "success", "success", "failed", "trigger_dag_run", "patch_dag")
                ),
                "owner": "airflow",
                "extra": "{}",
                "try_number": 1,
            }

    def _jobs(self) -> Iterator[dict[str, Any]]:
        """The processes whose heartbeats the health endpoint looks for."""
        for kind in ("SchedulerJob", "TriggererJob", "DagProcessorJob"):
            beat = moment(self._now)
            yield {"job_type": kind, "state": "running", "start_date": beat, "latest_heartbeat": beat, "hostname": "vm"}


def moment(at: datetime | None) -> str | None:
    """A time as Airflow writes it into SQLite."""
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S.%f}"
