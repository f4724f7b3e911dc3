"""Describe a DAG in at most eighteen requests: its schedule, latest runs, params, tasks, and links to other DAGs."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from statistics import median
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps, take_fitting
from airflow_mcp.dispatch.gather import ReadResults, gather, list_errors
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import NotFoundError
from airflow_mcp.text import shorten
from airflow_mcp.workflows.get_dag_overview.dag_graph import describe_tasks
from airflow_mcp.workflows.get_dag_overview.dag_links import (
    describe_expression,
    find_asset_links,
    find_dag_links,
    select_linking_tasks,
)
from airflow_mcp.workflows.get_dag_overview.downstream import Downstream, filters_assets, read_instances
from airflow_mcp.workflows.shared.params import describe_param

_RUNS = 10
_POINTERS = 3  # task instances read to learn which DAG a task triggers or waits for
_DESCRIPTION = 200  # characters
_SLACK = 300  # characters of the notes about what was left out and how to get it
_SENSORS = "DAGs whose sensors wait for this one: Airflow's API does not say."
_SHOWS = {"params": "get_dag_details", "runs": "list_dag_runs", "tasks": "list_tasks"}  # the tool for a whole part
_GROWS = 4  # times the size, advised for parts that no other tool returns
_COPIED_FIELDS = ("dag_id", "is_paused", "is_stale", "has_import_errors")


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Return facts, runs, params, links and tasks of one DAG.

    Raises NotFoundError for an unknown DAG, after two requests.
    """
    dag_id = arguments["dag_id"]
    is_legacy = context.version.generation == "v1"
    details = await _read_details(context, dag_id)
    results = await gather(
        runs=context.read_rows("list_dag_runs", dag_id=dag_id, limit=_RUNS),
        tasks=context.read_rows("list_tasks", dag_id=dag_id),
        assets=_read_assets(context, dag_id),
        **(
            {"dag": context.read_record("get_dag", dag_id=dag_id)} if is_legacy else {}
        ),  # 2.x: the details lack the owners
    )
    runs, total = results.get("runs", ([], 0))
    tasks, _ = results.get("tasks", ([], 0))
    assets, _ = results.get("assets", ([], 0))
    instances = await _read_instances(context, dag_id, select_linking_tasks(tasks)[:_POINTERS], runs)
    upstream_links, trigger_links, unknown_task_ids = find_dag_links(instances, tasks, context.may_see)
    sources, products = find_asset_links(dag_id, assets, context.may_see)
    answer = _describe_dag(details | {"owners": results.get("dag", details).get("owners")})
    walk = Downstream(context, None if filters_assets(context) else assets)
    await walk.follow(dag_id, products + trigger_links)
    downstream = products + trigger_links + walk.links
    sensors = [_SENSORS] if downstream else []
    answer["not_seen"] = [*_describe_unread(results, unknown_task_ids, runs), *walk.notes, *sensors] or None
    answer["next"] = _advise(answer, runs)
    parts = _SizedParts(answer, context, dag_id)
    answer["params"] = dict(parts.take("params", _describe_params(details), 0.3)) or None
    answer["upstream"] = parts.take("upstream", sources + upstream_links, 0.25) or None
    answer["downstream"] = parts.take("downstream", downstream, 0.25) or None
    if "runs" not in results.errors:
        answer["runs"] = _describe_runs(runs, total, parts.take("runs", [_build_run_row(row) for row in runs], 0.5))
    if "tasks" not in results.errors:
        answer["tasks"], left_out_count = describe_tasks(tasks, parts.remaining_size)
        parts.count_left_out("tasks", left_out_count)
    answer["next"] = answer["next"] or None
    return answer


async def _read_details(context: WorkflowContext, dag_id: str) -> Json:
    """Read a DAG's details; of one that Airflow has dropped, since its file is gone or broken, the shorter record."""
    try:
        return await context.read_record("get_dag_details", dag_id=dag_id)
    except NotFoundError:
        return await context.read_record("get_dag", dag_id=dag_id)


class _SizedParts:
    """Gives each part of an answer its share of the remaining characters, and counts what it leaves out."""

    def __init__(self, answer: Json, context: WorkflowContext, dag_id: str) -> None:
        self._answer, self._context, self._dag_id = answer, context, dag_id
        self._calls: list[NextCall] = answer["next"]
        self._left_out: dict[str, int] = {}

    @property
    def remaining_size(self) -> int:
        """The number of characters that remain for parts."""
        return self._context.budget - len(dumps(self._answer)) - _SLACK - len(self._dag_id)

    def take(self, name: str, items: list[Any], share: float) -> list[Any]:
        """Return as many of the items as fit into this share of the remaining characters."""
        fitting_items = take_fitting(items, int(self.remaining_size * share))
        self.count_left_out(name, len(items) - len(fitting_items))
        return fitting_items

    def count_left_out(self, name: str, left: int) -> None:
        """Record how many items of a part are left out, and advise how to get them."""
        if left:
            self._left_out[name] = left
            self._answer["left_out"] = self._left_out
            tool = _SHOWS.get(name)
            if tool and tool not in [call["tool"] for call in self._calls]:
                self._calls.append(next_call(tool, f"shows all {name}", dag_id=self._dag_id))
            elif not tool and self._context.budget < self._context.ceiling:
                self._answer["more"] = {"max_chars": min(self._context.ceiling, _GROWS * self._context.budget)}


async def _read_assets(context: WorkflowContext, dag_id: str) -> tuple[list[Json], int]:
    """Read the DAG's assets and their number; before 2.9, which cannot filter them, the first ones of every DAG."""
    if context.version.generation == "v2":
        return await context.read_rows("find_assets", dag_ids=[dag_id])
    if filters_assets(context):
        rows, _ = await context.read_rows("find_datasets", dag_ids=[dag_id])
        return rows, len(rows)  # 2.x counts those of every DAG, whatever the filter
    return await context.read_rows("find_datasets")


async def _read_instances(
    context: WorkflowContext, dag_id: str, tasks: list[Json], runs: list[Json]
) -> dict[str, Json]:
    """Return, by task id, its instance in the latest run that ended, or else in the latest that started."""
    started_runs = [row for row in runs if row.get("start_date")]
    dag_run = next((row for row in started_runs if row.get("end_date")), started_runs[0] if started_runs else None)
    if dag_run is None:
        return {}
    return await read_instances(context, {**dag_run, "dag_id": dag_id}, tasks)


def _describe_dag(dag: Json) -> Json:
    """Describe the DAG by its own fields."""
    expression, zone = dag.get("asset_expression"), dag.get("timezone")
    facts = {name: dag.get(name) for name in _COPIED_FIELDS} | {
        "schedule": f"assets: {describe_expression(expression)}" if expression else _describe_schedule(dag),
        "timezone": zone if zone != "UTC" else None,
        "next_run_after": dag.get("next_dagrun_run_after"),
        "catchup": dag.get("catchup") or None,
        "max_active_runs": dag.get("max_active_runs"),
        "owners": dag.get("owners") or None,
        "tags": dag.get("tags") or None,
        "description": shorten(dag["description"], _DESCRIPTION) if dag.get("description") else None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _describe_schedule(dag: Json) -> str | None:
    interval = dag.get("schedule_interval") or {}  # 2.x: a cron expression has a `value`, a timedelta has days
    days, seconds = interval.get("days"), interval.get("seconds")
    summary = dag.get("timetable_summary") or (f"every {days} days {seconds} seconds" if days is not None else None)
    words = dag.get("timetable_description")
    return f"{summary} ({words})" if summary and words else summary or words or None


def _describe_params(details: Json) -> list[tuple[str, Json]]:
    """Describe the params, the required ones first."""
    params = [(name, describe_param(param)) for name, param in (details.get("params") or {}).items()]
    return sorted(params, key=lambda item: not item[1].get("required"))


def _describe_runs(runs: list[Json], total: int, rows: list[Any]) -> Json:
    durations = [
        seconds for row in runs if row.get("state") == "success" and (seconds := _measure_duration(row)) is not None
    ]
    return {
        "total": total,
        f"states_of_latest_{len(runs)}": dict(Counter(str(row.get("state")) for row in runs)) or None,
        "median_seconds_of_success": round(median(durations), 1) if durations else None,
        "columns": ["dag_run_id", "state", "start_date", "seconds"],
        "rows": rows,
    }


def _build_run_row(run: Json) -> list[Any]:
    start = run.get("start_date")
    return [run["dag_run_id"], run.get("state"), f"{start[:19]}Z" if start else None, _measure_duration(run)]


def _measure_duration(run: Json) -> float | None:
    """Return how many seconds a run took; 2.x gives only its start and its end."""
    start, end = run.get("start_date"), run.get("end_date")
    if not start or not end:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 1)


def _describe_unread(seen: ReadResults, unknown: list[str], runs: list[Json]) -> list[str]:
    notes = list_errors(seen.errors)
    assets, total = seen.get("assets", ([], 0))
    if len(assets) < total:
        notes.append(f"assets: only {len(assets)} of {total} were looked at.")
    if unknown:
        notes.append(f"Which DAG {', '.join(unknown[:5])} points to: no run tells yet.")
    if any(row.get("triggered_by") == "operator" for row in runs):
        notes.append("A task of another DAG triggers this one; Airflow's API does not say which.")
    return notes


def _advise(dag: Json, runs: list[Json]) -> list[NextCall]:
    """Advise a call where the DAG's file is gone or broken, or its latest run failed."""
    if dag.get("is_stale") or dag.get("has_import_errors"):
        return [next_call("why_not_running", "says what keeps it", dag_id=dag["dag_id"])]
    if not runs or runs[0].get("state") != "failed":
        return []
    run_id = runs[0]["dag_run_id"]
    return [next_call("diagnose_dag_run", "says why the latest run failed", dag_id=dag["dag_id"], dag_run_id=run_id)]
