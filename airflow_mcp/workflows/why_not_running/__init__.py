"""Say why a DAG, a run or a task does not run: what most likely keeps it, with evidence and the call to make next."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError, NotFoundError
from airflow_mcp.workflows.shared.components import read_components
from airflow_mcp.workflows.shared.findings import Finding
from airflow_mcp.workflows.shared.paging import all_rows
from airflow_mcp.workflows.shared.scheduler_work import settle_scheduler
from airflow_mcp.workflows.why_not_running.dag_causes import (
    asset_finding,
    assets_of,
    dag_findings,
    may_define,
    schedule_finding,
    unknown_dag,
)
from airflow_mcp.workflows.why_not_running.question import Question, none_if_missing, or_error
from airflow_mcp.workflows.why_not_running.queued_run import ended_finding, others_finding, queued_findings
from airflow_mcp.workflows.why_not_running.running_run import judge_ended_task, judge_tasks

_SECONDS = 60  # for the whole answer
_MOST_REQUESTS = 8
_MOST_RUNS = 200  # queued and running ones of the DAG that are read: 2 requests


async def run(door: InnerDoor, arguments: Json) -> Json:
    """Verdict, cause, evidence, next call, and what else was found; 3 to 8 requests.

    Raises NotFoundError for a DAG, run or task that does not exist, unless a file that does not import explains it.
    """
    door.bound(requests=_MOST_REQUESTS, seconds=arguments.get("timeout_seconds", _SECONDS))
    question = Question(door, arguments["dag_id"], arguments.get("dag_run_id"), arguments.get("task_id"))
    if "~" in (question.dag_id, question.run_id):
        error = InvalidArgumentsError("why_not_running: name one DAG (and run).")
        raise error.advise(next_call("health_report", "looks at all of them"))
    ids = {"dag_id": question.dag_id}
    seen = await question.look(
        dag=or_error(_dag(question)),
        health=door.one("get_health"),
        **({"asked": or_error(_asked_run(question))} if question.run_id else {"active_runs": _active_runs(question)}),
    )
    await _judge_components(question, seen.get("health"))
    dag = seen.get("dag")
    if isinstance(dag, AirflowMcpError):
        raise dag
    if dag is None:
        return await _missing_dag(question)
    asked = seen.get("asked")
    if isinstance(asked, AirflowMcpError):
        raise asked
    runs, total = seen.get("active_runs") or ([], 0)
    if asked and asked.get("state") == "queued":  # then it counts which others are running
        seen = await question.look(active_runs=_active_runs(question))
        runs, total = seen.get("active_runs") or ([asked], 1)
    about = asked or next((row for row in runs if row.get("state") == "queued"), runs[0] if runs else None)
    if about and not asked and len(runs) > 1:
        if about.get("state") == "running":
            question.others = others_finding(runs, about, total)
        question.checked += [f"this is one of {total} active runs"]
    queued = sum(row.get("state") == "queued" for row in runs)
    errors = await _import_errors(question, dag) if dag.get("has_import_errors") or dag.get("is_stale") else []
    question.findings += dag_findings(dag, queued, errors, run_asked=about is not None)
    question.checked += [] if dag.get("is_paused") else ["not paused"]
    if about is None:
        await _judge_schedule(question, dag)
    elif about.get("state") == "queued":
        backfill = await _backfill(question) if about.get("run_type") == "backfill" else None
        waits = queued_findings(dag, about, runs, total, backfill, question.now, explained=question.is_explained)
        question.findings += waits
    elif about.get("state") == "running":
        await judge_tasks(question, dag, about)
    elif question.task_id:
        await judge_ended_task(question, ids | {"dag_run_id": about["dag_run_id"]})
    else:
        question.is_over()
        question.findings.append(ended_finding(about, question.now))
    return question.told(about)


async def _active_runs(question: Question) -> tuple[list[Json], int] | None:
    """The DAG's queued and running runs, oldest first, and how many there are; None for no such DAG."""
    asked = {"dag_id": question.dag_id, "state": ["queued", "running"], "order_by": "run_after"}
    return await none_if_missing(all_rows(question.door, "list_dag_runs", _MOST_RUNS, **asked))


async def _asked_run(question: Question) -> Json:
    return await question.door.one("get_dag_run", dag_id=question.dag_id, dag_run_id=question.run_id)


async def _dag(question: Question) -> Json | None:
    """The DAG with its limits, or None where there is none.

    2.x tells the limits, the next run and the file's state with the DAG, 3.x some of it in its details only; a DAG that
    3.x knows only from its history has no details.
    """
    ids = {"dag_id": question.dag_id}
    if question.is_old:
        return await none_if_missing(question.door.one("get_dag", **ids))
    details = await none_if_missing(question.door.one("get_dag_details", **ids))
    return details or await none_if_missing(question.door.one("get_dag", **ids))


async def _judge_components(question: Question, health: Json | None) -> None:
    if health is None:
        return
    question.components = await settle_scheduler(question.door, read_components(health, question.door.version))
    for component in question.components.values():
        if component.alive:
            question.checked.append(component.words(question.now))
        elif component.name in ("metadatabase", "scheduler"):
            question.findings.append(component.finding(question.now, blocks=True))
    if scheduler := question.one_at_a_time:
        question.findings.append(scheduler.work_finding(question.now))


async def _import_errors(question: Question, dag: Json | None = None) -> list[Json] | None:
    """The latest 100 of them, or those of this DAG's file where Airflow can tell; None if they cannot be read."""
    file = dag.get("relative_fileloc") if dag and question.door.version >= (3, 1) else None
    mine = {"filename_pattern": file} if file else {}
    seen = await question.look(import_errors=question.door.rows("list_import_errors", **mine))
    return seen.get("import_errors", (None, 0))[0]


async def _backfill(question: Question) -> Json | None:
    """The DAG's backfill that is under way: Airflow 3 has at most one at a time."""
    seen = await question.look(backfills=question.door.rows("list_backfills", dag_id=question.dag_id))
    return next((row for row in seen.get("backfills", ([], 0))[0] if not row.get("completed_at")), None)


async def _missing_dag(question: Question) -> Json:
    """No such DAG: does a file that does not import explain it, or a process that does not read files?"""
    fitting = [error for error in await _import_errors(question) or [] if may_define(error, question.dag_id)]
    reader = question.components.get("scheduler" if question.is_old else "dag_processor")
    dead = reader is not None and not reader.alive
    if not fitting and not dead:
        raise NotFoundError(f"There is no DAG {question.dag_id[:120]!r}.", 404)
    found = [unknown_dag(error) for error in fitting]
    if reader is not None and dead:
        what = f"There is no DAG {question.dag_id!r} yet, and {reader.words(question.now)}: a new file is not read."
        looked = next_call("get_health", "tells whether it is back")
        found.append(Finding("blocks", what, "", "Start that process where Airflow runs.", (looked,)))
    question.findings = found + question.findings
    return question.told(None)


async def _judge_schedule(question: Question, dag: Json) -> None:
    """No run is active: when, or on what, does the next one start?"""
    door, ids = question.door, {"dag_id": question.dag_id}
    summary = f"{dag.get('timetable_summary')} {dag.get('timetable_description')}".lower()
    if not (dag.get("asset_expression") or "asset" in summary or "dataset" in summary):
        dates = {"details": none_if_missing(door.one("get_dag_details", **ids))} if question.is_old else {}
        seen = await question.look(latest_run=door.rows("list_dag_runs", **ids, limit=1), **dates)
        dag = {**(seen.get("details") or {}), **{name: value for name, value in dag.items() if value is not None}}
        last = next(iter(seen.get("latest_run", ([], 0))[0]), None)
        question.findings.append(schedule_finding(dag, last, question.now, explained=question.is_explained))
        return
    mine = {"dag_ids": [question.dag_id]} if door.version >= (2, 9) else {}
    seen = await question.look(
        assets=door.rows("find_datasets" if question.is_old else "find_assets", **mine),
        asset_events=none_if_missing(door.rows("list_queued_asset_events", **ids)),  # 2.x: 404 for none
    )
    came, _ = seen.get("asset_events") or ([], 0)
    assets = assets_of(question.dag_id, seen.get("assets", ([], 0))[0], came, door.may_see)
    question.findings.append(asset_finding(dag, assets, question.now))
