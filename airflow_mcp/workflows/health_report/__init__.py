"""Report on a whole Airflow: its processes, broken files, failures by cause, slow runs, full pools, queues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.gather import ReadResults, gather, list_errors
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.health_report.cause_groups import CauseReport, describe_unread, fit_causes, read_causes
from airflow_mcp.workflows.health_report.failed_runs import (
    FailedInstances,
    Window,
    add_missing_runs,
    build_continuation,
    describe_runs,
    group_texts,
    identify_run,
    read_failed_runs,
    read_failures,
)
from airflow_mcp.workflows.health_report.queues import describe_queues, read_unfinished
from airflow_mcp.workflows.health_report.section_fit import fit_sections
from airflow_mcp.workflows.health_report.slow_runs import RULE, find_slow_runs
from airflow_mcp.workflows.shared.components import read_components
from airflow_mcp.workflows.shared.evidence import ExecutorEvents
from airflow_mcp.workflows.shared.findings import first_names, format_age, format_count
from airflow_mcp.workflows.shared.scheduler_work import settle_scheduler

_EVERYWHERE = {"dag_id": "~", "dag_run_id": "~"}
_NEARLY_FULL = 0.9  # of a pool's slots
_MOST_REQUESTS = 25
_SECONDS = 60  # for the whole answer
_CHANGED_DAYS = 30  # what is unfinished and has not changed for longer is not looked at
_UTC = "%Y-%m-%dT%H:%M:%SZ"


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """What needs attention first, then each section; 9 requests for a quiet Airflow, at most 25 on a bad day.

    With `failed_before` the failures alone: those that an earlier report left unread.
    """
    context.limit_requests(requests=_MOST_REQUESTS, seconds=arguments.get("timeout_seconds", _SECONDS))
    now = datetime.now(UTC)
    hours = arguments.get("hours", 24)
    window = Window(f"{now - timedelta(hours=hours):{_UTC}}", arguments.get("failed_before"))
    changed = f"{now - timedelta(days=_CHANGED_DAYS):{_UTC}}"
    failures = {"failed_runs": read_failed_runs(context, window), "failed_tasks": read_failures(context, window)}
    if window.before:
        seen = await gather(**failures)
    else:
        seen = await gather(
            components=context.read_record("get_health"),
            **failures,
            running_runs=context.read_rows(
                "list_dag_runs", dag_id="~", state=["running"], updated_at_gte=changed, order_by="start_date"
            ),
            unfinished=read_unfinished(context, changed),
            import_errors=context.read_rows("list_import_errors"),
            pools=context.read_rows("list_pools"),
            warnings=context.read_rows("list_dag_warnings"),
        )
    hidden = {}
    if context.hides:
        more = " A list was not read to its end: there may be more of everything." if context.cut else ""
        hidden["rows"] = f"policy hides some from you: every count is of rows you may see.{more}"
    slow = await _describe_slow_runs(seen, context, now)
    events = ExecutorEvents(context, after=window.since)
    failed, reading = await _describe_failures(seen, context, window, events)
    sections = {
        "processes": await _describe_processes(seen, context, now),
        "failures": failed,
        "import_errors": _describe_import_errors(seen, now),
        "slow_runs": slow,
        "pools": _describe_pools(seen),
        "task_instances": describe_queues(seen.get("unfinished", {}), now),
        "warnings": _describe_warnings(seen),
    }
    unseen = seen.errors | hidden
    attention = [word for section in sections.values() if section and (word := section.pop("attention", None))]
    answer = {
        "window": f"the last {hours} h, since {window.since}" + (f", before {window.before}" if window.before else ""),
        "attention": attention or ["nothing" if not unseen else "nothing in what could be read: see not_seen"],
        "not_seen": list_errors(unseen),
        **sections,
    }
    if reading and failed is not None:
        room = max(context.budget - len(dumps(answer)) - 300, context.budget // 2)
        failed["causes"], dropped = fit_causes(reading.causes, now, room)
        left = [row for task in reading.unread for row in task.rows] + [cause.latest for cause in dropped]
        answer["more"] = build_continuation(seen.get("failed_tasks", FailedInstances([], 0)), left, window)
    answer = {name: part for name, part in answer.items() if part}
    return fit_sections(answer, ("window", "attention", "more"), context.budget, context.ceiling)


async def _describe_processes(seen: ReadResults, context: WorkflowContext, now: datetime) -> Json | None:
    if "components" not in seen.values:
        return None
    components = (await settle_scheduler(context, read_components(seen.values["components"], context.version))).values()
    dead = [component for component in components if not component.alive]
    told: Json = {"state": "; ".join(component.describe(now) for component in components)}
    if dead:
        told["attention"] = "; ".join(component.describe(now) for component in dead)
        told["dead"] = [component.build_finding(now, blocks=True).what for component in dead]
    return told


async def _describe_failures(
    seen: ReadResults, context: WorkflowContext, window: Window, events: ExecutorEvents
) -> tuple[Json | None, CauseReport | None]:
    """The failures' counts, and what the logs say."""
    runs, total_runs = seen.get("failed_runs", ([], 0))
    failures: FailedInstances = seen.get("failed_tasks", FailedInstances([], 0))
    told: Json = {"runs": describe_runs(runs, total_runs)} if "failed_runs" in seen.values else {}
    if not failures.total and not total_runs:
        return told or None, None
    added = await gather(failures=add_missing_runs(context, failures, runs, window))
    seen.errors.update({f"{name} of more runs": reason for name, reason in added.errors.items()})
    failures = added.get("failures", failures)
    reading = await read_causes(context, failures.rows, events)
    least = "at least " if context.cut else ""
    told["attention"] = (
        f"{least}{format_count(total_runs, 'failed run')}, {format_count(failures.total, 'failed task instance')}"
    )
    told["task_instances"] = failures.total
    if not failures.is_whole:
        told["counted"] = f"by cause among {len(failures.rows)} of {failures.total}: the counts below are lower bounds"
    told["causes"] = []
    if reading.unread:
        told["not_looked_at"] = describe_unread(reading.unread)
    complete = failures.is_whole and not context.cut and "failed_tasks" in seen.values
    with_task = {identify_run(row) for row in failures.rows}
    bare = [run for run in runs if identify_run(run) not in with_task]
    if complete and bare and not window.before:
        named = first_names((f"{run['dag_id']} / {run['dag_run_id']}" for run in bare), 4)
        told["without_failed_task"] = f"{named} (a timeout, or set by hand?)"
        first = {"dag_id": bare[0]["dag_id"], "dag_run_id": bare[0]["dag_run_id"]}
        told["next"] = [next_call("diagnose_dag_run", "tells of the first one without a failed task", **first)]
    return told, reading


def _describe_import_errors(seen: ReadResults, now: datetime) -> Json | None:
    errors, total = seen.get("import_errors", ([], 0))
    if not total:
        return None
    causes = group_texts(errors, "stack_trace", "filename")
    for cause in causes:
        first = cause.pop("first")
        cause["since"] = format_age(first.get("timestamp"), now)
        shows = next_call("get_import_error", "shows the traceback", import_error_id=first["import_error_id"])
        cause["next"] = [shows]
    files = f"{format_count(total, 'DAG file')} {'does' if total == 1 else 'do'} not import"
    return {"attention": files, "total": total, "causes": causes}


async def _describe_slow_runs(seen: ReadResults, context: WorkflowContext, now: datetime) -> Json | None:
    running, total = seen.get("running_runs", ([], 0))
    found = await find_slow_runs(context, running, now)
    if not found:
        return None
    of = f"{total} running" if total <= len(running) else f"the oldest {len(running)} of {total} running"
    word = f"{format_count(len(found), 'run')} {'takes' if len(found) == 1 else 'take'} very long"
    return {"attention": word, "rule": RULE, "looked_at": of, "runs": found}


def _describe_pools(seen: ReadResults) -> Json | None:
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
    full = first_names(pool["name"] for pool in near)
    return {"attention": f"{format_count(len(near), 'pool')} full or nearly: {full}", "near_limit": near, **more}


def _describe_warnings(seen: ReadResults) -> Json | None:
    warnings, total = seen.get("warnings", ([], 0))
    if not total:
        return None
    causes = group_texts(warnings, "message", "dag_id")
    for cause in causes:
        cause["what"] = f"{cause.pop('first').get('warning_type')}: {cause['what']}"
    return {"total": total, "causes": causes}
