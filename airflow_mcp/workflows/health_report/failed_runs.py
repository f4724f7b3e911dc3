"""Read the failed runs of a time window and their failed task instances, up to a limit of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.task_logs import read_cause
from airflow_mcp.workflows.shared.findings import first_names, format_count
from airflow_mcp.workflows.shared.paging import read_all_rows

_MOST_ROWS = 300  # of each list: 3 requests
_MOST_RUNS = 100  # requested by name, where their failures lie beyond these rows
_EVERYWHERE = {"dag_id": "~", "dag_run_id": "~"}


@dataclass(frozen=True)
class Window:
    """The time window of a report: `since`, and `before` where it continues an earlier report."""

    since: str
    before: str | None = None

    @property
    def bounds(self) -> Json:
        """The arguments that restrict a list to what ended in the window."""
        return {"end_date_gte": self.since} | ({"end_date_lte": self.before} if self.before else {})


@dataclass(frozen=True)
class FailedInstances:
    """Failed task instances of a window, the latest first: the `rows` that were read, of `total` in Airflow."""

    rows: list[Json]
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether all of them were read."""
        return self.total <= len(self.rows)


def read_end(row: Json) -> str:
    """Return when a run or a task instance ended, as text that sorts by time within one Airflow."""
    return str(row.get("end_date") or "")


def identify_run(row: Json) -> tuple[str, str]:
    """Return the DAG id and the run id of a row."""
    return row["dag_id"], row["dag_run_id"]


async def read_failed_runs(context: WorkflowContext, window: Window) -> tuple[list[Json], int]:
    """Return the latest 300 failed runs, the latest first, and their total number; 1 to 3 requests."""
    arguments: dict[str, Any] = {"dag_id": "~", "state": ["failed"], **window.bounds, "order_by": "-end_date"}
    return await read_all_rows(context, "list_dag_runs", _MOST_ROWS, **arguments)


async def read_failures(context: WorkflowContext, window: Window) -> FailedInstances:
    """Return the latest 300 failed task instances (2.x: 300 in its own order); 1 to 3 requests."""
    arguments: dict[str, Any] = {**_EVERYWHERE, "state": ["failed"], **window.bounds}
    if context.version.generation == "v2":
        arguments["order_by"] = "-end_date"
    rows, total = await read_all_rows(context, "list_task_instances", _MOST_ROWS, **arguments)
    return FailedInstances(sorted(rows, key=read_end, reverse=True), total)


async def add_missing_runs(
    context: WorkflowContext, failures: FailedInstances, runs: Iterable[Json], window: Window
) -> FailedInstances:
    """Add the failures of failed runs whose task instances are not among the rows read; 0 or 1 request."""
    known_runs = {identify_run(row) for row in failures.rows}
    missing_runs = [run for run in runs if identify_run(run) not in known_runs][:_MOST_RUNS]
    if failures.is_whole or not missing_runs:
        return failures
    ids = {
        "dag_ids": sorted({run["dag_id"] for run in missing_runs}),
        "dag_run_ids": sorted({run["dag_run_id"] for run in missing_runs}),
    }
    rows, _ = await context.read_rows("list_task_instances", **_EVERYWHERE, **ids, state=["failed"], **window.bounds)
    added_rows = [row for row in rows if identify_run(row) not in known_runs]
    return FailedInstances(sorted([*failures.rows, *added_rows], key=read_end, reverse=True), failures.total)


def build_continuation(failures: FailedInstances, unread: list[Json], window: Window) -> Json | None:
    """Return the arguments that continue with the unread failures, before the latest of them; None if there are none.

    `unread` are the task instances whose logs were not read or whose cause did not fit into the answer.
    """
    rows = unread or ([] if failures.is_whole else failures.rows[-1:])
    if not rows or not (latest := max(map(read_end, rows))):
        return None
    if window.before and datetime.fromisoformat(latest) >= datetime.fromisoformat(window.before):
        # All of them ended at the same moment, so that the same bound would bring the same rows.
        latest = (datetime.fromisoformat(latest) - timedelta(microseconds=1)).isoformat()
    return {"failed_before": latest}


def identify_instance(row: Json) -> Json:
    """Return the arguments that name a task instance."""
    names = ("dag_id", "dag_run_id", "task_id", "map_index")
    return {name: row[name] for name in names if row.get(name) is not None}


def format_times(number: int) -> str:
    """Format a count as " x3", or as nothing for one."""
    return f" x{number}" if number > 1 else ""


def group_texts(rows: list[Json], text: str, name: str, most: int = 3) -> list[Json]:
    """Group rows by the signature of their error text, in order of first occurrence: what, how many, of which names."""
    groups: dict[str, list[Json]] = {}
    for row in rows:
        groups.setdefault(read_cause(str(row.get(text) or "")).key, []).append(row)
    return [
        {
            "what": read_cause(str(group[0].get(text) or "")).describe(),
            "count": len(group),
            "where": first_names((str(row.get(name)) for row in group), most),
            "first": group[0],
        }
        for group in groups.values()
    ]


def describe_runs(runs: list[Json], total: int) -> str:
    """Describe failed runs: "17 runs failed, of 15 DAGs: a x3, b, ..."; of the latest, where not all were read."""
    if not total:
        return "no run failed"
    counts = Counter(run["dag_id"] for run in runs)
    names = first_names((f"{dag_id}{format_times(number)}" for dag_id, number in counts.most_common()), 8)
    scope = "" if total <= len(runs) else f" (of the latest {len(runs)})"
    return f"{format_count(total, 'run')} failed, of {format_count(len(counts), 'DAG')}{scope}: {names}"
