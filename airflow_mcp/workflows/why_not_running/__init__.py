"""Explain why a DAG, a run or a task does not run: the most likely cause, its evidence and the call to make next."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError, NotFoundError
from airflow_mcp.workflows.shared.components import read_components
from airflow_mcp.workflows.shared.findings import Finding
from airflow_mcp.workflows.shared.paging import read_all_rows
from airflow_mcp.workflows.shared.scheduler_work import settle_scheduler
from airflow_mcp.workflows.why_not_running.dag_causes import (
    collect_assets,
    explain_assets,
    explain_schedule,
    explain_unknown_dag,
    find_dag_causes,
    may_define,
)
from airflow_mcp.workflows.why_not_running.diagnosis import Diagnosis, read_or_error, read_or_none
from airflow_mcp.workflows.why_not_running.queued_run import describe_ended_run, describe_other_runs, explain_queued_run
from airflow_mcp.workflows.why_not_running.running_run import judge_ended_task, judge_tasks

_SECONDS = 60  # time limit of the whole answer
_MOST_REQUESTS = 8
_MOST_RUNS = 200  # queued and running runs read of the DAG, in 2 requests


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Return the verdict, the cause, its evidence, the next call and the other findings, after 3 to 8 requests.

    Raises NotFoundError for a DAG, run or task that does not exist, unless a file that does not import explains it, and
    InvalidArgumentsError for "~".
    """
    context.limit_requests(requests=_MOST_REQUESTS, seconds=arguments.get("timeout_seconds", _SECONDS))
    diagnosis = Diagnosis(context, arguments["dag_id"], arguments.get("dag_run_id"), arguments.get("task_id"))
    if "~" in (diagnosis.dag_id, diagnosis.run_id):
        error = InvalidArgumentsError("why_not_running: name one DAG (and run).")
        raise error.advise(next_call("health_report", "looks at all of them"))
    ids = {"dag_id": diagnosis.dag_id}
    results = await diagnosis.gather(
        dag=read_or_error(_read_dag(diagnosis)),
        health=context.read_record("get_health"),
        **(
            {"asked": read_or_error(_asked_run(diagnosis))}
            if diagnosis.run_id
            else {"active_runs": _active_runs(diagnosis)}
        ),
    )
    await _judge_components(diagnosis, results.get("health"))
    dag = results.get("dag")
    if isinstance(dag, AirflowMcpError):
        raise dag
    if dag is None:
        return await _explain_missing_dag(diagnosis)
    chosen_run = results.get("asked")
    if isinstance(chosen_run, AirflowMcpError):
        raise chosen_run
    runs, total = results.get("active_runs") or ([], 0)
    if chosen_run and chosen_run.get("state") == "queued":  # the DAG's other active runs decide whether it may start
        results = await diagnosis.gather(active_runs=_active_runs(diagnosis))
        runs, total = results.get("active_runs") or ([chosen_run], 1)
    target = chosen_run or next((row for row in runs if row.get("state") == "queued"), runs[0] if runs else None)
    if target and not chosen_run and len(runs) > 1:
        if target.get("state") == "running":
            diagnosis.other_runs = describe_other_runs(runs, target, total)
        diagnosis.checked += [f"this is one of {total} active runs"]
    queued_count = sum(row.get("state") == "queued" for row in runs)
    errors = await _read_import_errors(diagnosis, dag) if dag.get("has_import_errors") or dag.get("is_stale") else []
    diagnosis.findings += find_dag_causes(dag, queued_count, errors, has_run=target is not None)
    diagnosis.checked += [] if dag.get("is_paused") else ["not paused"]
    if target is None:
        await _judge_schedule(diagnosis, dag)
    elif target.get("state") == "queued":
        backfill = await _read_backfill(diagnosis) if target.get("run_type") == "backfill" else None
        waits = explain_queued_run(dag, target, runs, total, backfill, diagnosis.now, has_cause=diagnosis.is_explained)
        diagnosis.findings += waits
    elif target.get("state") == "running":
        await judge_tasks(diagnosis, dag, target)
    elif diagnosis.task_id:
        await judge_ended_task(diagnosis, ids | {"dag_run_id": target["dag_run_id"]})
    else:
        diagnosis.clear_blockers()
        diagnosis.findings.append(describe_ended_run(target, diagnosis.now))
    return diagnosis.describe(target)


async def _active_runs(diagnosis: Diagnosis) -> tuple[list[Json], int] | None:
    """Return the DAG's queued and running runs, oldest first, and their number, or None where there is no such DAG."""
    filters = {"dag_id": diagnosis.dag_id, "state": ["queued", "running"], "order_by": "run_after"}
    return await read_or_none(read_all_rows(diagnosis.context, "list_dag_runs", _MOST_RUNS, **filters))


async def _asked_run(diagnosis: Diagnosis) -> Json:
    return await diagnosis.context.read_record("get_dag_run", dag_id=diagnosis.dag_id, dag_run_id=diagnosis.run_id)


async def _read_dag(diagnosis: Diagnosis) -> Json | None:
    """Return the DAG with its limits, or None where there is none.

    2.x has the limits, the next run and the file's state in the DAG itself, 3.x has some of them only in the DAG's
    details; a DAG that 3.x knows only from its history has no details.
    """
    ids = {"dag_id": diagnosis.dag_id}
    if diagnosis.is_old:
        return await read_or_none(diagnosis.context.read_record("get_dag", **ids))
    details = await read_or_none(diagnosis.context.read_record("get_dag_details", **ids))
    return details or await read_or_none(diagnosis.context.read_record("get_dag", **ids))


async def _judge_components(diagnosis: Diagnosis, health: Json | None) -> None:
    if health is None:
        return
    diagnosis.components = await settle_scheduler(diagnosis.context, read_components(health, diagnosis.context.version))
    for component in diagnosis.components.values():
        if component.alive:
            diagnosis.checked.append(component.describe(diagnosis.now))
        elif component.name in ("metadatabase", "scheduler"):
            diagnosis.findings.append(component.build_finding(diagnosis.now, blocks=True))
    if scheduler := diagnosis.one_at_a_time:
        diagnosis.findings.append(scheduler.work_finding(diagnosis.now))


async def _read_import_errors(diagnosis: Diagnosis, dag: Json | None = None) -> list[Json] | None:
    """Return the latest 100 import errors, or from 3.1 those of the DAG's file; None if they cannot be read."""
    file = dag.get("relative_fileloc") if dag and diagnosis.context.version >= (3, 1) else None
    filters = {"filename_pattern": file} if file else {}
    results = await diagnosis.gather(import_errors=diagnosis.context.read_rows("list_import_errors", **filters))
    return results.get("import_errors", (None, 0))[0]


async def _read_backfill(diagnosis: Diagnosis) -> Json | None:
    """Return the DAG's backfill that is under way, or None; Airflow 3 has at most one at a time."""
    results = await diagnosis.gather(backfills=diagnosis.context.read_rows("list_backfills", dag_id=diagnosis.dag_id))
    return next((row for row in results.get("backfills", ([], 0))[0] if not row.get("completed_at")), None)


async def _explain_missing_dag(diagnosis: Diagnosis) -> Json:
    """Explain a missing DAG by a file that does not import, or by a dead process that should read files.

    Raises NotFoundError where neither explains it.
    """
    errors = [error for error in await _read_import_errors(diagnosis) or [] if may_define(error, diagnosis.dag_id)]
    reader = diagnosis.components.get("scheduler" if diagnosis.is_old else "dag_processor")
    is_dead = reader is not None and not reader.alive
    if not errors and not is_dead:
        raise NotFoundError(f"There is no DAG {diagnosis.dag_id[:120]!r}.", 404)
    findings = [explain_unknown_dag(error) for error in errors]
    if reader is not None and is_dead:
        what = (
            f"There is no DAG {diagnosis.dag_id!r} yet, and {reader.describe(diagnosis.now)}: a new file is not read."
        )
        health_call = next_call("get_health", "tells whether it is back")
        findings.append(Finding("blocks", what, "", "Start that process where Airflow runs.", (health_call,)))
    diagnosis.findings = findings + diagnosis.findings
    return diagnosis.describe(None)


async def _judge_schedule(diagnosis: Diagnosis, dag: Json) -> None:
    """Add the finding on when, or on which assets, the next run starts; for a DAG without an active run."""
    context, ids = diagnosis.context, {"dag_id": diagnosis.dag_id}
    summary = f"{dag.get('timetable_summary')} {dag.get('timetable_description')}".lower()
    if not (dag.get("asset_expression") or "asset" in summary or "dataset" in summary):
        reads = {"details": read_or_none(context.read_record("get_dag_details", **ids))} if diagnosis.is_old else {}
        results = await diagnosis.gather(latest_run=context.read_rows("list_dag_runs", **ids, limit=1), **reads)
        dag = {**(results.get("details") or {}), **{name: value for name, value in dag.items() if value is not None}}
        latest_run = next(iter(results.get("latest_run", ([], 0))[0]), None)
        diagnosis.findings.append(explain_schedule(dag, latest_run, diagnosis.now, has_cause=diagnosis.is_explained))
        return
    filters = {"dag_ids": [diagnosis.dag_id]} if context.version >= (2, 9) else {}
    results = await diagnosis.gather(
        assets=context.read_rows("find_datasets" if diagnosis.is_old else "find_assets", **filters),
        asset_events=read_or_none(context.read_rows("list_queued_asset_events", **ids)),  # 2.x answers 404 for none
    )
    events, _ = results.get("asset_events") or ([], 0)
    assets = collect_assets(diagnosis.dag_id, results.get("assets", ([], 0))[0], events, context.may_see)
    diagnosis.findings.append(explain_assets(dag, assets, diagnosis.now))
