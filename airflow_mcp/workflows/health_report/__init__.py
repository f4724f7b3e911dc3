"""Report on a whole Airflow: its processes, broken files, failures by cause, slow runs, full pools, queues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import Seen, list_unseen, look
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.workflows.health_report.failure_causes import (
    Failures,
    add_missing_dags,
    causes_of,
    grouped_texts,
    ids_of,
    read_failures,
    runs_told,
)
from airflow_mcp.workflows.health_report.section_fit import fit_sections
from airflow_mcp.workflows.health_report.slow_runs import RULE, slow_runs
from airflow_mcp.workflows.shared.components import read_components
from airflow_mcp.workflows.shared.findings import ago, count, some

_EVERYWHERE = {"dag_id": "~", "dag_run_id": "~"}
_WAITING = ("scheduled", "deferred", "up_for_retry")  # counted, beside those queued and running
_NEARLY_FULL = 0.9  # of a pool's slots
_LONG_QUEUED = 300.0  # seconds


async def run(door: InnerDoor, arguments: Json) -> Json:
    """What needs attention first, then each section; 12 requests for a quiet Airflow, at most 54 on a bad day."""
    now = datetime.now(UTC)
    hours = arguments.get("hours", 24)
    since = f"{now - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
    reads: dict[str, Any] = {
        "components": door.one("get_health"),
        "import_errors": door.rows("list_import_errors"),
        "warnings": door.rows("list_dag_warnings"),
        "pools": door.rows("list_pools"),
        "failed_runs": door.rows(
            "list_dag_runs", dag_id="~", state=["failed"], end_date_gte=since, order_by="-end_date"
        ),
        "running_runs": door.rows("list_dag_runs", dag_id="~", state=["running"], order_by="start_date"),
        "failed_tasks": read_failures(door, since),
        "queued": door.rows("list_task_instances", **_EVERYWHERE, state=["queued"]),
    }
    for state in ("running", *_WAITING):
        reads[state] = door.rows("list_task_instances", **_EVERYWHERE, state=[state], limit=1)
    seen = await look(**reads)
    if door.hides:  # counts asked for without their rows would be wrong
        for state in ("running", *_WAITING):
            seen.values.pop(state, None)
        more = " A list was not read to its end: there may be more of everything." if door.cut else ""
        seen.unseen["rows"] = f"policy hides some from you: every count is of rows you may see.{more}"
    sections = {
        "processes": _processes(seen, door, now),
        "failures": await _failures(seen, door, since, now),
        "import_errors": _import_errors(seen, now),
        "slow_runs": await _slow_runs(seen, door, now),
        "pools": _pools(seen),
        "task_instances": _queues(seen, now),
        "warnings": _warnings(seen),
    }
    attention = [word for section in sections.values() if section and (word := section.pop("attention", None))]
    answer = {
        "window": f"the last {hours} h, since {since}",
        "attention": attention or ["nothing" if not seen.unseen else "nothing in what could be read: see not_seen"],
        "not_seen": list_unseen(seen.unseen),
        **sections,
    }
    answer = {name: part for name, part in answer.items() if part}
    return fit_sections(answer, ("window", "attention"), door.budget, door.ceiling)


def _processes(seen: Seen, door: InnerDoor, now: datetime) -> Json | None:
    if "components" not in seen.values:
        return None
    components = read_components(seen.values["components"], door.version).values()
    dead = [component for component in components if not component.alive]
    told: Json = {"state": "; ".join(component.words(now) for component in components)}
    if dead:
        told["attention"] = "; ".join(component.words(now) for component in dead)
        told["dead"] = [component.finding(now, blocks=True).what for component in dead]
    return told


async def _failures(seen: Seen, door: InnerDoor, since: str, now: datetime) -> Json | None:
    runs, total_runs = seen.get("failed_runs", ([], 0))
    failures: Failures = seen.get("failed_tasks", Failures([], 0))
    failures = await add_missing_dags(door, failures, (run["dag_id"] for run in runs), since)
    told: Json = {"runs": runs_told(runs, total_runs)} if "failed_runs" in seen.values else {}
    if not failures.total and not total_runs:
        return told
    causes, unlooked = await causes_of(door, failures, now)
    least = "at least " if door.cut else ""
    told["attention"] = f"{least}{count(total_runs, 'failed run')}, {count(failures.total, 'failed task instance')}"
    told["task_instances"] = failures.total
    if failures.total > len(failures.rows):
        told["counted"] = f"by cause among {len(failures.rows)} of {failures.total}: the counts below are lower bounds"
    told["causes"] = causes
    if unlooked:
        names = some((f"{dag_id}.{task_id}" for dag_id, task_id in unlooked), 6)
        told["not_looked_at"] = f"logs of {count(len(unlooked), 'more failed task')}: {names}"
    complete = failures.total == len(failures.rows) and not door.cut and "failed_tasks" in seen.values
    with_task = {(row["dag_id"], row["dag_run_id"]) for row in failures.rows}
    bare = [run for run in runs if (run["dag_id"], run["dag_run_id"]) not in with_task]
    if complete and bare:
        named = some((f"{run['dag_id']} / {run['dag_run_id']}" for run in bare), 4)
        told["without_failed_task"] = f"{named} (a timeout, or set by hand?)"
        first = {"dag_id": bare[0]["dag_id"], "dag_run_id": bare[0]["dag_run_id"]}
        told["next"] = [next_call("diagnose_dag_run", "tells of the first one without a failed task", **first)]
    return told


def _import_errors(seen: Seen, now: datetime) -> Json | None:
    errors, total = seen.get("import_errors", ([], 0))
    if not total:
        return None
    causes = grouped_texts(errors, "stack_trace", "filename")
    for cause in causes:
        first = cause.pop("first")
        cause["since"] = ago(first.get("timestamp"), now)
        shows = next_call("get_import_error", "shows the traceback", import_error_id=first["import_error_id"])
        cause["next"] = [shows]
    files = f"{count(total, 'DAG file')} {'does' if total == 1 else 'do'} not import"
    return {"attention": files, "total": total, "causes": causes}


async def _slow_runs(seen: Seen, door: InnerDoor, now: datetime) -> Json | None:
    running, total = seen.get("running_runs", ([], 0))
    found = await slow_runs(door, running, now)
    if not found:
        return None
    of = f"{total} running" if total <= len(running) else f"the oldest {len(running)} of {total} running"
    word = f"{count(len(found), 'run')} {'takes' if len(found) == 1 else 'take'} very long"
    return {"attention": word, "rule": RULE, "looked_at": of, "runs": found}


def _pools(seen: Seen) -> Json | None:
    pools, total = seen.get("pools", ([], 0))
    near: list[Json] = []
    for pool in pools:
        slots = pool.get("slots") or 0
        taken = slots - (pool.get("open_slots") or 0)
        if slots > 0 and taken >= _NEARLY_FULL * slots:
            kept = {name: pool.get(name) for name in ("name", "slots", "open_slots", "queued_slots", "scheduled_slots")}
            takers = {"pool": [pool["name"]], "state": ["running", "queued"]}
            shows = next_call("list_task_instances", "shows who takes it", **_EVERYWHERE, **takers)
            near.append({**kept, "next": [shows]})
    if not near:
        return None
    more = {"looked_at": f"{len(pools)} of {total}"} if total > len(pools) else {}
    full = some(pool["name"] for pool in near)
    return {"attention": f"{count(len(near), 'pool')} full or nearly: {full}", "near_limit": near, **more}


def _queues(seen: Seen, now: datetime) -> Json | None:
    told: Json = {state: seen.values[state][1] for state in ("running", "queued", *_WAITING) if state in seen.values}
    queued: list[Json] = [row for row in seen.get("queued", ([], 0))[0] if row.get("queued_when")]
    if queued:
        oldest = min(queued, key=lambda row: row["queued_when"])
        ids = {name: value for name, value in ids_of(oldest).items() if name != "map_index"}
        told["longest_queued"] = f"{ago(oldest['queued_when'], now)}, queue {oldest.get('queue')}"
        told["next"] = [next_call("why_not_running", "says why the longest queued one waits", **ids)]
        if (now - datetime.fromisoformat(oldest["queued_when"])).total_seconds() > _LONG_QUEUED:
            told["attention"] = (
                f"{count(told['queued'], 'task instance')} queued, the longest {ago(oldest['queued_when'], now)}"
            )
    return told or None


def _warnings(seen: Seen) -> Json | None:
    warnings, total = seen.get("warnings", ([], 0))
    if not total:
        return None
    causes = grouped_texts(warnings, "message", "dag_id")
    for cause in causes:
        cause["what"] = f"{cause.pop('first').get('warning_type')}: {cause['what']}"
    return {"total": total, "causes": causes}
