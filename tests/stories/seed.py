"""Writes into a stopped Airflow's database and logs what takes too long: 1,000 mapped tasks, waits, a zombie.

It only changes rows that Airflow itself made, so that whatever a version keeps in them is there. It is done to every
copy anew, so that "two hours ago" is two hours ago; what really ran is moved by its age first.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.stories.seed_logs import Line, Logs, shift_log

ODD_RUN_ID = "nächtlich 2024-06-01 Zürich #7"
RENAMED = {("bestellungen.zuerich-1", "zurich-7"): ODD_RUN_ID}
"""DAG and run -> the id that the run is given, one that not every Airflow takes when it is triggered."""

ZOMBIE = {
    "2": "will be terminated. See https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html"
    "#zombie-undead-tasks",
    "3": "will be terminated. See https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html"
    "#task-instance-heartbeat-timeout",
}


def shard_error(shard: int) -> tuple[str, str, float]:
    """The exception of a shard as its type and text, empty for a good one, and the seconds it took."""
    if 100 <= shard < 250:
        return "TimeoutError", f"shard {shard} did not answer within 30 seconds", 30.5
    if 400 <= shard < 500:
        return "KeyError", "'customer_id'", 1.25
    if 700 <= shard < 750:
        return "ValueError", f"checksum of shard {shard} is {shard * 7919:08x}, expected 5eed5eed", 12.75
    return "", "", 14.0


@dataclass(frozen=True)
class Span:
    """When something was queued, started and ended, in minutes ago; None where it has not happened."""

    queued: float
    started: float | None = None
    ended: float | None = None


class Seeder:
    """The open database and the logs of one stopped Airflow."""

    def __init__(self, connection: sqlite3.Connection, logs: Logs, version: str) -> None:
        self.logs = logs
        self.is_old = version.startswith("2.")
        self.now = datetime.now(UTC)
        self._db = connection

    def ago(self, minutes: float | None) -> str | None:
        """A moment as both versions write it into SQLite."""
        return None if minutes is None else f"{self.now - timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S.%f}"

    def change(self, table: str, where: dict[str, Any], **values: Any) -> None:
        """Change the rows that `where` names, of which there must be one at least."""
        known = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
        kept = {name: value for name, value in values.items() if name in known}
        setters, tests = ", ".join(f"{name} = ?" for name in kept), " AND ".join(f"{name} = ?" for name in where)
        done = self._db.execute(f"UPDATE {table} SET {setters} WHERE {tests}", [*kept.values(), *where.values()])
        if not done.rowcount:
            raise LookupError(f"{table} has no row where {where}")

    def run(self, dag_id: str, run_id: str, state: str, span: Span) -> None:
        """Give a run its state and times."""
        where = {"dag_id": dag_id, "run_id": run_id}
        times = {"queued_at": span.queued, "start_date": span.started, "end_date": span.ended}
        moments = {name: self.ago(at) for name, at in times.items()}
        made = {name: self.ago(span.queued) for name in ("created_at", "run_after", "execution_date")}
        latest = next(at for at in (span.ended, span.started, span.queued) if at is not None)
        self.change("dag_run", where, state=state, updated_at=self.ago(latest), **moments, **made)

    def instance(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        state: str,
        span: Span,
        *,
        map_index: int = -1,
        try_number: int = 1,
    ) -> None:
        """Give a task instance its state and times."""
        where = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
        started = span.started is not None
        ended = started and span.ended is not None
        self.change(
            "task_instance",
            where,
            state=state,
            try_number=try_number,
            scheduled_dttm=self.ago(span.queued),
            queued_dttm=None if state == "scheduled" else self.ago(span.queued),
            start_date=self.ago(span.started),
            end_date=self.ago(span.ended),
            duration=(span.started - span.ended) * 60 if ended else None,  # type: ignore[operator]
            last_heartbeat_at=self.ago(0 if state == "running" else span.ended) if started else None,
            updated_at=self.ago(span.ended if ended else span.started if started else span.queued),
            **({"hostname": "worker-3", "unixname": "airflow", "pid": 4242} if started else {}),
        )

    def running(self, dag_id: str, run_id: str, task_id: str, span: Span, said: str) -> None:
        """A task instance that runs, with the beginning of a log."""
        self.instance(dag_id, run_id, task_id, "running", span)
        self.logs.beginning(dag_id, run_id, task_id, at=self.now - timedelta(minutes=span.started or 0), said=said)

    def unpause(self, *dag_ids: str) -> None:
        """Take a pause away that only kept the scheduler off."""
        for dag_id in dag_ids:
            self.change("dag", {"dag_id": dag_id}, is_paused=0)

    def forget_code(self, dag_id: str) -> None:
        """Remove a DAG's serialized form, so that Airflow no longer has its details and tasks."""
        self._db.execute("DELETE FROM serialized_dag WHERE dag_id = ?", [dag_id])

    def event(self, dag_id: str, run_id: str, task_id: str, event: str, extra: str, ago: float) -> None:
        """Add a line to the event log."""
        self._db.execute(
            "INSERT INTO log (dttm, dag_id, task_id, map_index, event, run_id, extra, try_number)"
            " VALUES (?, ?, ?, -1, ?, ?, ?, 1)",
            [self.ago(ago), dag_id, task_id, event, run_id, extra],
        )

    def rename_run(self, dag_id: str, run_id: str, new: str) -> None:
        """Give a run another id, in its rows and its logs."""
        for table in tables_with(self._db, "run_id"):
            self._db.execute(f"UPDATE {table} SET run_id = ? WHERE dag_id = ? AND run_id = ?", [new, dag_id, run_id])
        self.logs.rename_run(dag_id, run_id, new)

    def move_run(self, dag_id: str, run_id: str, by: timedelta) -> None:
        """Move a run and all that belongs to it in time."""
        for table, columns in timed_columns(self._db).items():
            if {"dag_id", "run_id"} <= {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}:
                shift_rows(self._db, table, columns, by, "WHERE dag_id = ? AND run_id = ?", [dag_id, run_id])
        for file in self.logs.files(dag_id, run_id):
            shift_log(file, by)


def tables_with(connection: sqlite3.Connection, column: str) -> list[str]:
    """The tables that have this column beside a DAG's id."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    has = {name: {row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')} for name in names}
    return [f'"{name}"' for name in names if {"dag_id", column} <= has[name]]


def timed_columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Table -> its columns that hold a moment."""
    found: dict[str, list[str]] = {}
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = connection.execute(f'PRAGMA table_info("{name}")').fetchall()
        if moments := [row[1] for row in columns if row[2].upper() in ("TIMESTAMP", "DATETIME")]:
            found[f'"{name}"'] = moments
    return found


def shift_rows(
    connection: sqlite3.Connection, table: str, columns: list[str], by: timedelta, where: str = "", values: Any = ()
) -> None:
    """Move every moment of these columns."""

    def shifted(moment: str) -> str:
        return f"{datetime.fromisoformat(moment) + by:%Y-%m-%d %H:%M:%S.%f}"

    connection.create_function("shifted", 1, lambda moment: moment and shifted(moment))
    setters = ", ".join(f"{column} = shifted({column})" for column in columns)
    connection.execute(f"UPDATE {table} SET {setters} {where}", values)


def seed(home: Path, version: str, age: timedelta) -> None:
    """Write everything that was not run into a stopped Airflow, what did run being so old."""
    logs = Logs(home / "logs", home / "dags", version)
    with closing(sqlite3.connect(home / "airflow.db")) as connection:
        for table, columns in timed_columns(connection).items():
            shift_rows(connection, table, columns, age)
        for file in logs.all():
            shift_log(file, age)
        seeder = Seeder(connection, logs, version)
        _shards(seeder)
        _zombie(seeder)
        _waiting(seeder)
        _dropped(seeder, "orders_v2")
        for (dag_id, run_id), new in RENAMED.items():
            seeder.rename_run(dag_id, run_id, new)
        for dag_id, run_id in (("import_orders", "monday"), ("price_list", "before")):
            seeder.move_run(dag_id, run_id, timedelta(days=-1))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _shards(seeder: Seeder) -> None:
    dag_id, run_id = "load_shards", "shards-1"
    seeder.run(dag_id, run_id, "failed", Span(51, 50, 20))
    for shard in range(1_000):
        kind, message, seconds = shard_error(shard)
        started = 50 - shard * 0.02
        state, span = "failed" if kind else "success", Span(started + 0.1, started, started - seconds / 60)
        seeder.instance(dag_id, run_id, "load", state, span, map_index=shard)
        line = Line(dag_id, run_id, "load", shard, seeder.now - timedelta(minutes=started))
        seeder.logs.shard(line, kind, message)
    seeder.instance(dag_id, run_id, "publish", "upstream_failed", Span(21), try_number=0)
    moment = seeder.ago(20)
    where = {"dag_id": dag_id, "run_id": run_id, "task_id": "publish"}
    seeder.change("task_instance", where, queued_dttm=None, start_date=moment, end_date=moment, duration=0)
    seeder.unpause(dag_id)


def _zombie(seeder: Seeder) -> None:
    dag_id, run_id, task_id = "long_report", "pages-1", "render_pages"
    seeder.run(dag_id, run_id, "failed", Span(90, 89, 40))
    seeder.instance(dag_id, run_id, task_id, "failed", Span(89, 88, 40))
    begun = seeder.now - timedelta(minutes=88)
    seeder.logs.beginning(dag_id, run_id, task_id, at=begun, said="rendered page 212 of 900")
    told = f"Task did not emit heartbeat within time limit (300 seconds) and {ZOMBIE['2' if seeder.is_old else '3']}"
    seeder.event(dag_id, run_id, task_id, "heartbeat timeout", told, 40)
    seeder.unpause(dag_id)


def _dropped(seeder: Seeder, dag_id: str) -> None:
    """A DAG as it stays in the end: its file no longer imports, and Airflow keeps it for about a minute only.

    Whether that minute is over when the home is built depends on the machine.
    """
    seeder.change("dag", {"dag_id": dag_id}, is_paused=0, is_stale=1, is_active=0, has_import_errors=1)
    if seeder.is_old:
        seeder.forget_code(dag_id)


def _waiting(seeder: Seeder) -> None:
    for number, hours in enumerate((72, 48, 24), 1):
        seeder.run("paused_backlog", f"backlog-{number}", "queued", Span(hours * 60))
    seeder.run("hourly_rollup", "rollup-1", "queued", Span(120))
    seeder.run("orders_v2", "orders-1", "queued", Span(95))

    seeder.run("train_model", "train-1", "running", Span(130, 129))
    seeder.instance("train_model", "train-1", "train", "scheduled", Span(129))

    for number, minutes in ((1, 230), (2, 200)):
        seeder.run("warehouse_load", f"copy-{number}", "running", Span(minutes + 2, minutes + 1))
        span = Span(minutes + 1, minutes)
        seeder.running("warehouse_load", f"copy-{number}", "copy_table", span, "copying table sales_2024")
    seeder.run("warehouse_load", "copy-3", "running", Span(75, 74))
    seeder.instance("warehouse_load", "copy-3", "copy_table", "scheduled", Span(74))

    seeder.run("one_at_a_time", "index-1", "running", Span(300, 299))
    seeder.running("one_at_a_time", "index-1", "reindex", Span(299, 298), "reindexing table 3 of 8")
    for number, minutes in ((2, 240), (3, 180)):
        seeder.run("one_at_a_time", f"index-{number}", "queued", Span(minutes))

    seeder.run("narrow_lane", "lane-1", "running", Span(66, 65))
    for name in ("north", "east"):
        seeder.running("narrow_lane", "lane-1", f"sync_{name}", Span(65, 64), f"syncing region {name}")
    for name in ("south", "west", "centre"):
        seeder.instance("narrow_lane", "lane-1", f"sync_{name}", "scheduled", Span(65))

    seeder.run("stuck_in_queue", "cube-1", "running", Span(181, 180))
    seeder.instance("stuck_in_queue", "cube-1", "build_cube", "queued", Span(180))
    seeder.unpause("hourly_rollup", "train_model", "warehouse_load", "one_at_a_time", "narrow_lane", "stuck_in_queue")
