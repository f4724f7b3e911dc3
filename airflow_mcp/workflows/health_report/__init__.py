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
_CHANGED_DAYS = 30  # unfinished runs and task instances that have not changed for longer are ignored
_UTC = "%Y-%m-%dT%H:%M:%SZ"


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Report what needs attention, then each section; 9 requests for a quiet Airflow, at most 25 on a bad day.

    With `failed_before`, report only the failures that an earlier report left unread.
    """
    context.limit_requests(requests=_MOST_REQUESTS, seconds=arguments.get("timeout_seconds", _SECONDS))
    now = datetime.now(UTC)
    hours = arguments.get("hours", 24)
    window = Window(f"{now - timedelta(hours=hours):{_UTC}}", arguments.get("failed_before"))
    changed_since = f"{now - timedelta(days=_CHANGED_DAYS):{_UTC}}"
    failures = {"failed_runs": read_failed_runs(context, window), "failed_tasks": read_failures(context, window)}
    if window.before:
        results = await gather(**failures)
    else:
        results = await gather(
            components=context.read_record("get_health"),
            **failures,
            running_runs=context.read_rows(
                "list_dag_runs", dag_id="~", state=["running"], updated_at_gte=changed_since, order_by="start_date"
            ),
            unfinished=read_unfinished(context, changed_since),
            import_errors=context.read_rows("list_import_errors"),
            pools=context.read_rows("list_pools"),
            warnings=context.read_rows("list_dag_warnings"),
        )
    hidden_notes = {}
    if context.hides:
        note = " A list was not read to its end: there may be more of everything." if context.cut else ""
        hidden_notes["rows"] = f"policy hides some from you: every count is of rows you may see.{note}"
    slow_section = await _describe_slow_runs(results, context, now)
    events = ExecutorEvents(context, after=window.since)
    failure_section, cause_report = await _describe_failures(results, context, window, events)
    sections = {
        "processes": await _describe_processes(results, context, now),
        "failures": failure_section,
        "import_errors": _describe_import_errors(results, now),
        "slow_runs": slow_section,
        "pools": _describe_pools(results),
        "task_instances": describe_queues(results.get("unfinished", {}), now),
        "warnings": _describe_warnings(results),
    }
    read_errors = results.errors | hidden_notes
    attention = [sentence for section in sections.values() if section and (sentence := section.pop("attention", None))]
    answer = {
        "window": f"the last {hours} h, since {window.since}" + (f", before {window.before}" if window.before else ""),
        "attention": attention or ["nothing" if not read_errors else "nothing in what could be read: see not_seen"],
        "not_seen": list_errors(read_errors),
        **sections,
    }
    if cause_report and failure_section is not None:
        causes_budget = max(context.budget - len(dumps(answer)) - 300, context.budget // 2)
        failure_section["causes"], dropped_causes = fit_causes(cause_report.causes, now, causes_budget)
        unread_rows = [row for task in cause_report.unread for row in task.rows] + [
            cause.latest for cause in dropped_causes
        ]
        answer["more"] = build_continuation(results.get("failed_tasks", FailedInstances([], 0)), unread_rows, window)
    answer = {name: part for name, part in answer.items() if part}
    return fit_sections(answer, ("window", "attention", "more"), context.budget, context.ceiling)


async def _describe_processes(seen: ReadResults, context: WorkflowContext, now: datetime) -> Json | None:
    if "components" not in seen.values:
        return None
    components = (await settle_scheduler(context, read_components(seen.values["components"], context.version))).values()
    dead_components = [component for component in components if not component.alive]
    section: Json = {"state": "; ".join(component.describe(now) for component in components)}
    if dead_components:
        section["attention"] = "; ".join(component.describe(now) for component in dead_components)
        section["dead"] = [component.build_finding(now, blocks=True).what for component in dead_components]
    return section


async def _describe_failures(
    seen: ReadResults, context: WorkflowContext, window: Window, events: ExecutorEvents
) -> tuple[Json | None, CauseReport | None]:
    """Describe the numbers of failures, and group the failures by the causes in their logs."""
    runs, total_runs = seen.get("failed_runs", ([], 0))
    failures: FailedInstances = seen.get("failed_tasks", FailedInstances([], 0))
    section: Json = {"runs": describe_runs(runs, total_runs)} if "failed_runs" in seen.values else {}
    if not failures.total and not total_runs:
        return section or None, None
    added_results = await gather(failures=add_missing_runs(context, failures, runs, window))
    seen.errors.update({f"{name} of more runs": reason for name, reason in added_results.errors.items()})
    failures = added_results.get("failures", failures)
    cause_report = await read_causes(context, failures.rows, events)
    prefix = "at least " if context.cut else ""
    section["attention"] = (
        f"{prefix}{format_count(total_runs, 'failed run')}, {format_count(failures.total, 'failed task instance')}"
    )
    section["task_instances"] = failures.total
    if not failures.is_whole:
        section["counted"] = (
            f"by cause among {len(failures.rows)} of {failures.total}: the counts below are lower bounds"
        )
    section["causes"] = []
    if cause_report.unread:
        section["not_looked_at"] = describe_unread(cause_report.unread)
    is_complete = failures.is_whole and not context.cut and "failed_tasks" in seen.values
    runs_with_task = {identify_run(row) for row in failures.rows}
    runs_without_task = [run for run in runs if identify_run(run) not in runs_with_task]
    if is_complete and runs_without_task and not window.before:
        names = first_names((f"{run['dag_id']} / {run['dag_run_id']}" for run in runs_without_task), 4)
        section["without_failed_task"] = f"{names} (a timeout, or set by hand?)"
        ids = {"dag_id": runs_without_task[0]["dag_id"], "dag_run_id": runs_without_task[0]["dag_run_id"]}
        section["next"] = [next_call("diagnose_dag_run", "tells of the first one without a failed task", **ids)]
    return section, cause_report


def _describe_import_errors(seen: ReadResults, now: datetime) -> Json | None:
    errors, total = seen.get("import_errors", ([], 0))
    if not total:
        return None
    causes = group_texts(errors, "stack_trace", "filename")
    for cause in causes:
        first = cause.pop("first")
        cause["since"] = format_age(first.get("timestamp"), now)
        show_call = next_call("get_import_error", "shows the traceback", import_error_id=first["import_error_id"])
        cause["next"] = [show_call]
    files = f"{format_count(total, 'DAG file')} {'does' if total == 1 else 'do'} not import"
    return {"attention": files, "total": total, "causes": causes}


async def _describe_slow_runs(seen: ReadResults, context: WorkflowContext, now: datetime) -> Json | None:
    running_runs, total = seen.get("running_runs", ([], 0))
    slow_runs = await find_slow_runs(context, running_runs, now)
    if not slow_runs:
        return None
    scope = f"{total} running" if total <= len(running_runs) else f"the oldest {len(running_runs)} of {total} running"
    sentence = f"{format_count(len(slow_runs), 'run')} {'takes' if len(slow_runs) == 1 else 'take'} very long"
    return {"attention": sentence, "rule": RULE, "looked_at": scope, "runs": slow_runs}


def _describe_pools(seen: ReadResults) -> Json | None:
    pools, total = seen.get("pools", ([], 0))
    pool_rows: list[Json] = []
    for pool in pools:
        slots = pool.get("slots") or 0
        taken_slots = slots - (pool.get("open_slots") or 0)
        if slots > 0 and taken_slots >= _NEARLY_FULL * slots:
            pool_facts = {
                name: pool.get(name) for name in ("name", "slots", "open_slots", "queued_slots", "scheduled_slots")
            }
            filters = {"pool": [pool["name"]], "state": ["running", "queued"]}
            list_call = next_call("list_task_instances", "shows who takes it", **_EVERYWHERE, **filters)
            pool_rows.append({**pool_facts, "next": [list_call]})
    if not pool_rows:
        return None
    coverage = {"looked_at": f"{len(pools)} of {total}"} if total > len(pools) else {}
    names = first_names(pool["name"] for pool in pool_rows)
    return {
        "attention": f"{format_count(len(pool_rows), 'pool')} full or nearly: {names}",
        "near_limit": pool_rows,
        **coverage,
    }


def _describe_warnings(seen: ReadResults) -> Json | None:
    warnings, total = seen.get("warnings", ([], 0))
    if not total:
        return None
    causes = group_texts(warnings, "message", "dag_id")
    for cause in causes:
        cause["what"] = f"{cause.pop('first').get('warning_type')}: {cause['what']}"
    return {"total": total, "causes": causes}
