"""The lists of a large Airflow, paged and filtered as its API does it, from rows that are generated when asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import anyio.lowlevel

from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.logs import line, printed, raised, row
from tests.unit.samples import dag, dag_run, dag_run_v1, dag_v1, page, pool, task_instance

Json = dict[str, Any]
KINDS = ("load", "sync", "export", "train", "report")
DAGS = [f"team{number % 50:02d}.{KINDS[number % 5]}_{number:05d}" for number in range(5_000)]
FAILED = 150  # runs of the last day, one failed task instance each
MAPPED_STATES = {"failed": 300, "success": 40_000, "scheduled": 9_700}  # of one run, in the order of map indexes
MAPPED = sum(MAPPED_STATES.values())
HUGE, HUGE_RUN = DAGS[0], "huge"
CAUSES = ("KeyError: 'customer'", "ValueError: no rows came", "OSError: disk is full", "RuntimeError: 503 of the bank")


def back(minutes: float) -> str:
    """A time that many minutes ago, as Airflow writes it."""
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


class LargeAirflow(FakeAirflow):
    """5,000 DAGs, 150 failed runs in a day, and a run of 50,000 mapped task instances; counts what is under way."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.most_at_once = 0
        self._now = 0
        self.old = version.startswith("2.")
        self._run = dag_run_v1 if self.old else dag_run
        self.otherwise(self._answer)

    async def _reply(self, sent: Sent, key: str, missing: Any) -> Any:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        try:
            return await super()._reply(sent, key, missing)
        finally:
            self._now -= 1

    def _answer(self, sent: Sent) -> Any:
        match [unquote(part) for part in sent.path.split("/")[1:]]:
            case ["health"] | ["monitor", "health"]:
                parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
                return {name: {"status": "healthy", f"latest_{name}_heartbeat": back(0)} for name in parts}
            case ["pools"]:
                return page("pools", [pool("default_pool", 128, running_slots=40)])
            case ["importErrors"]:
                return page("import_errors", [])
            case ["dagWarnings"]:
                return page("dag_warnings", [])
            case ["eventLogs"]:
                return page("event_logs", [])
            case ["dags"]:
                part = dict(sent.query).get("dag_id_pattern", "").strip("%")
                names = [name for name in DAGS if part in name]
                return _paged(sent, "dags", len(names), lambda at: self._dag(names[at]))
            case ["dags", name] | ["dags", name, "details"] if name in DAGS:
                return self._dag(name)
            case ["dags", name, "tasks"] if name in DAGS:
                return page("tasks", [{"task_id": "fan", "downstream_task_ids": []}])
            case ["dags", name, "dagRuns"] if name == "~" or name in DAGS:
                return self._runs(sent, name)
            case ["dags", name, "dagRuns", run] if name in DAGS and run == (HUGE_RUN if name == HUGE else "r"):
                return self._huge_run() if name == HUGE else self._failed_run(DAGS.index(name) - 1)
            case ["dags", name, "dagRuns", run, "taskInstances"]:
                return self._instances(sent, name, run)
            case ["dags", name, "dagRuns", _, "taskInstances", _, "logs", *_] if name in DAGS:
                index = int(dict(sent.query)["map_index"]) if name == HUGE else DAGS.index(name)
                return self._log(CAUSES[index % (3 if name == HUGE else len(CAUSES))])
            case _:
                return self._missing()

    def _dag(self, name: str) -> Json:
        return (dag_v1 if self.old else dag)(1, dag_id=name, is_paused=False)

    def _log(self, cause: str) -> Reply:
        kind, _, message = cause.partition(": ")
        text = line("begin") + printed((kind, message)) if self.old else row("begin") + raised((kind, message))
        return Reply(200, text)

    def _failed_run(self, at: int) -> Json:
        return self._run("r", "failed", dag_id=DAGS[at + 1], start_date=back(9 * at + 5), end_date=back(9 * at + 1))

    def _huge_run(self) -> Json:
        return self._run(HUGE_RUN, "running", dag_id=HUGE, start_date=back(90), end_date=None)

    def _runs(self, sent: Sent, name: str) -> Json:
        states = [value for key, value in sent.query if key == "state"]
        if name == "~":
            return _paged(sent, "dag_runs", FAILED if "failed" in states or not states else 0, self._failed_run)
        runs = [self._huge_run()] if name == HUGE else [self._failed_run(DAGS.index(name) - 1)]
        fitting = [run for run in runs if not states or run["state"] in states]
        return _paged(sent, "dag_runs", len(fitting), lambda at: fitting[at])

    def _instances(self, sent: Sent, name: str, run: str) -> Json:
        states = [value for key, value in sent.query if key == "state"]
        if name == "~":
            return _paged(sent, "task_instances", FAILED if "failed" in states else 0, self._failed_task)
        if run != HUGE_RUN:
            rows = [self._failed_task(DAGS.index(name) - 1)] if "failed" in states or not states else []
            return _paged(sent, "task_instances", len(rows), lambda at: rows[at])
        wanted, index = list[tuple[int, str]](), 0
        for state, many in MAPPED_STATES.items():
            wanted += [(number, state) for number in range(index, index + many) if not states or state in states]
            index += many

        def mapped(at: int) -> Json:
            number, state = wanted[at]
            return task_instance("fan", state, dag_id=HUGE, dag_run_id=HUGE_RUN, map_index=number)

        return _paged(sent, "task_instances", len(wanted), mapped)

    def _failed_task(self, at: int) -> Json:
        return task_instance("load", "failed", dag_id=DAGS[at + 1], dag_run_id="r", end_date=back(9 * at + 1))


def _paged(sent: Sent, key: str, total: int, make: Callable[[int], Json]) -> Json:
    """One page of a list: rows are made for it alone."""
    asked = dict(sent.query)
    first = int(asked.get("offset", 0))
    return page(key, [make(at) for at in range(first, min(first + int(asked.get("limit", 50)), total))], total)
