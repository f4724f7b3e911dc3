"""Explain why a running run does not proceed, from its unfinished task instances and what the first ones wait for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import gather
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.errors import NotFoundError
from airflow_mcp.workflows.shared.findings import Finding, format_age, measure_age
from airflow_mcp.workflows.why_not_running.diagnosis import Diagnosis, read_or_none
from airflow_mcp.workflows.why_not_running.limits import (
    CHANGED_DAYS,
    POOL_EVENTS,
    describe_pool,
    explain_active_tasks,
    explain_executor,
    explain_pool,
    explain_unknown_pool,
    group_by_pool,
    is_full,
    taken_slots,
)
from airflow_mcp.workflows.why_not_running.task_waits import (
    PATIENCE,
    UNFINISHED,
    depends_on_past,
    explain_previous,
    explain_queued_tasks,
    explain_waits,
    find_frontier,
    name_tasks,
    reaches_active_tasks,
    read_airflow_reasons,
)

_ENDED_STATES = ("success", "failed", "upstream_failed", "skipped", "removed")
_EVERYWHERE = {"dag_id": "~", "dag_run_id": "~"}
_TOLD_SINCE = (2, 10)  # Airflow's version that first reports itself whether max_active_tasks keeps a task
_PARALLELISM = {"section": "core", "option": "parallelism"}
_MOST_INSTANCES = 10_000  # of a run, beyond which Airflow takes seconds to list one task's dependencies
_MOST_CHANGES = 50  # events about pools that are read


async def judge_tasks(diagnosis: Diagnosis, dag: Json, run: Json) -> None:
    """Add findings about the task instances that the others wait for, after 1 to 5 requests.

    The DAG's tasks are read only where an instance without a state may be on the frontier: a scheduled one waits for no
    other task.
    """
    context, ids = diagnosis.context, {"dag_id": diagnosis.dag_id, "dag_run_id": run["dag_run_id"]}
    states = [*UNFINISHED, *(["awaiting_input"] if context.version >= (3, 3) else [])]
    results = await diagnosis.gather(task_instances=context.read_rows("list_task_instances", **ids, state=states))
    if "task_instances" not in results.values:
        return
    rows, total = results.values["task_instances"]
    started = total
    if total > len(rows):  # a page full of tasks that wait for others may hide what they wait for
        started_states = [state for state in states if state != "none"]
        started_results = await diagnosis.gather(
            busy=context.read_rows("list_task_instances", **ids, state=started_states)
        )
        busy, started = started_results.get("busy", (rows, total))
        rows = busy + [row for row in rows if not row.get("state")]
    complete = started <= sum(bool(row.get("state")) for row in rows) or total <= len(rows)
    active = sum(row.get("state") in ("running", "queued") for row in rows) if complete else None
    task_rows = [row for row in rows if row.get("state") and diagnosis.task_id in (None, row["task_id"])]
    decided = bool(task_rows) if diagnosis.task_id else any(row.get("state") == "scheduled" for row in task_rows)
    tasks: list[Json] = []
    if not decided or any(row.get("state") == "up_for_retry" for row in task_rows):
        tasks = (await diagnosis.gather(tasks=context.read_rows("list_tasks", dag_id=diagnosis.dag_id))).get(
            "tasks", ([], 0)
        )[0]
    frontier = find_frontier(rows, tasks, diagnosis.task_id)
    if diagnosis.task_id and diagnosis.task_id not in {row["task_id"] for row in rows}:
        await judge_ended_task(diagnosis, ids, sure=total <= len(rows))
        return
    finding_count = len(diagnosis.findings)
    unqueued = frontier.select("scheduled") or frontier.select("none")
    if unqueued:
        await _judge_unqueued(diagnosis, dag, run, unqueued, active)
    if queued := frontier.select("queued"):
        await _judge_queued(diagnosis, queued)
    if unqueued and len(diagnosis.findings) == finding_count and not diagnosis.is_explained:
        await _judge_scheduler(diagnosis, run, unqueued)
    diagnosis.findings += explain_waits(frontier, tasks, diagnosis.components.get("triggerer"), diagnosis.now)
    if not rows:
        diagnosis.findings.append(
            Finding("runs", "No task instance is unfinished: the scheduler is about to end the run.")
        )
    if (behind := total - len(frontier.rows)) > 0:
        least = "at least " if decided else ""
        diagnosis.checked.append(
            f"{least}{behind} more task instances of the run are unfinished, behind these or beside them"
        )


async def judge_ended_task(diagnosis: Diagnosis, ids: Json, *, sure: bool = True) -> None:
    """Add the finding on a task that is not among the unfinished ones that were read (`sure`: these were all).

    Raises NotFoundError where the run has no such task.
    """
    state = "finished" if sure else None
    try:
        state = (await diagnosis.context.read_record("get_task_instance", **ids, task_id=diagnosis.task_id)).get(
            "state"
        )
    except NotFoundError as error:
        if "mapped" not in str(error):
            raise
    if not sure and state not in _ENDED_STATES:
        sentence = (
            f"The task is {state or 'not seen to be over'}, and one of very many that are unfinished in this run."
        )
        run_call = next_call("why_not_running", "says what holds the run", **ids)
        diagnosis.findings.append(Finding("note", sentence, calls=(run_call,)))
        return
    diagnosis.clear_blockers()
    failed = state in ("failed", "upstream_failed")
    calls = (next_call("diagnose_dag_run", "says why", **ids),) if failed else ()
    what = f"The task is over: {state}." if state else "The task never started, and its run is over."
    diagnosis.findings.append(Finding("ended", what, calls=calls))


async def _judge_unqueued(diagnosis: Diagnosis, dag: Json, run: Json, unqueued: list[Json], active: int | None) -> None:
    """Explain why tasks that wait for no other one are not queued: pools, limits, Airflow's reasons, a full executor.

    `unqueued` are scheduled, or else have no state yet: pools and limits apply to scheduled ones only. `active` is the
    number of the run's running and queued task instances, or None where not all of them were read.
    """
    context, first, count = diagnosis.context, unqueued[0], len(diagnosis.findings)
    if first.get("state") == "scheduled":
        results = await diagnosis.gather(pools=context.read_rows("list_pools"))
        if "pools" in results.values:
            pools, total = results.values["pools"]
            diagnosis.busy = taken_slots(pools)
            await _judge_pools(diagnosis, pools, total, unqueued)
        over_runs = diagnosis.is_old  # max_active_tasks counts over the DAG on 2.x, over the run on 3.x
        unread = active is None or over_runs
        if len(diagnosis.findings) == count and unread and (not over_runs or context.version < _TOLD_SINCE):
            run_id = "~" if over_runs else run["dag_run_id"]
            filters = {"state": ["running", "queued"], "limit": 1}
            read = context.read_rows("list_task_instances", dag_id=diagnosis.dag_id, dag_run_id=run_id, **filters)
            active, unread = (await diagnosis.gather(active_tasks=read)).get("active_tasks", ([], 0))[1], False
        if not unread and (limit := explain_active_tasks(dag, unqueued, active or 0, each_run=not over_runs)):
            diagnosis.findings.append(limit)
        if len(diagnosis.findings) > count:
            return
    index = {} if first.get("map_index") is None else {"map_index": first["map_index"]}
    ids = {"dag_id": diagnosis.dag_id, "dag_run_id": run["dag_run_id"], "task_id": first["task_id"], **index}
    instances = 1 + max(row.get("map_index") or 0 for row in unqueued)
    if instances > _MOST_INSTANCES:
        diagnosis.errors["task dependencies"] = (
            f"not read: Airflow would look at every ended task instance of this run for them, which has {instances:,} "
            "at least."
        )
        return
    results = await diagnosis.gather(task_dependencies=context.read_rows("list_task_dependencies", **ids))
    reasons, _ = results.get("task_dependencies", ([], 0))
    if depends_on_past(reasons):
        diagnosis.findings.append(await _judge_previous(diagnosis, run, first))
    elif diagnosis.is_old and reaches_active_tasks(reasons):
        diagnosis.findings += filter(None, [explain_active_tasks(dag, unqueued, None, each_run=False)])
    if len(diagnosis.findings) == count:
        diagnosis.findings += read_airflow_reasons(first, reasons)


async def _judge_scheduler(diagnosis: Diagnosis, run: Json, held: list[Json]) -> None:
    """Add the finding that the scheduler has handed out all it may, or has not come round to the run."""
    if held[0].get("state") == "scheduled" and diagnosis.busy:
        results = await diagnosis.gather(parallelism=diagnosis.context.read_rows("get_config_value", **_PARALLELISM))
        rows, _ = results.get("parallelism", ([], 0))
        value = str(next((row.get("value") for row in rows if row.get("key") == "parallelism"), ""))
        limit = int(value) if value.isdecimal() else None
        if finding := explain_executor(held, diagnosis.busy, limit, diagnosis.now):
            diagnosis.findings.append(finding)
            return
    time = run.get("last_scheduling_decision")
    age = measure_age(time, diagnosis.now)
    what = f"Nothing seen here keeps {name_tasks(held)} from being queued; the scheduler has not done it yet."
    evidence = f"The scheduler last looked at the run {format_age(time, diagnosis.now)}."
    late = age is not None and age > PATIENCE
    hint = "Look at the scheduler's own log: it has not come round to this run." if late else ""
    diagnosis.findings.append(Finding("note" if late else "waits", what, evidence, hint))


async def _judge_previous(diagnosis: Diagnosis, run: Json, row: Json) -> Finding:
    """Explain the wait by the task's state in the latest run before by logical date, as depends_on_past counts."""
    context, ids = diagnosis.context, {"dag_id": diagnosis.dag_id}
    filters = {"logical_date_lte": run["logical_date"]} if run.get("logical_date") else {}
    read = context.read_rows("list_dag_runs", **ids, **filters, order_by="-logical_date", limit=2)
    runs = (await diagnosis.gather(runs_before=read)).get("runs_before", ([], 0))[0]
    previous = next((candidate for candidate in runs if candidate["dag_run_id"] != run["dag_run_id"]), None)
    if previous is None:
        return explain_previous(row, None, None)
    ids |= {"dag_run_id": previous["dag_run_id"], "task_id": row["task_id"]}
    index = {} if row.get("map_index") is None else {"map_index": row["map_index"]}
    task_read = read_or_none(context.read_record("get_task_instance", **ids, **index))
    results = await diagnosis.gather(task_in_the_run_before=task_read)
    unknown_state = "not known" if results.errors else None
    return explain_previous(row, previous, unknown_state or (results.get("task_in_the_run_before") or {}).get("state"))


async def _judge_pools(diagnosis: Diagnosis, pools: list[Json], total: int, unqueued: list[Json]) -> None:
    by_name = {pool["name"]: pool for pool in pools}
    by_pool = group_by_pool(unqueued)
    for name, rows in by_pool.items():
        if name not in by_name and (total > len(pools) or diagnosis.context.hides):
            results = await diagnosis.gather(
                pool=read_or_none(diagnosis.context.read_record("get_pool", pool_name=name))
            )
            if results.errors:
                by_name[name] = {"name": name}
            elif results.get("pool"):
                by_name[name] = results.values["pool"]
        if name not in by_name:
            diagnosis.findings.append(explain_unknown_pool(name, rows))
    full = [by_name[name] for name, rows in by_pool.items() if name in by_name and is_full(by_name[name], rows)]
    occupants = await _read_occupants(diagnosis, full) if full else {}
    findings: list[tuple[Json, Finding]] = []
    for name, rows in by_pool.items():
        takers, number = occupants.get(name, ([], 0))
        if name in by_name and (finding := explain_pool(by_name[name], rows, takers, number, diagnosis.now)):
            findings.append((by_name[name], finding))
    changes = await _pool_changes(diagnosis) if findings else None
    for pool, finding in findings:
        evidence = f"{finding.evidence} {describe_pool(pool, changes, diagnosis.now)}".strip()
        diagnosis.findings.append(replace(finding, evidence=evidence))


async def _read_occupants(diagnosis: Diagnosis, full: list[Json]) -> dict[str, tuple[list[Json], int]]:
    """Return the task instances in each full pool, longest first, and their number; one request for all pools."""
    states = ["running", "queued", *(["deferred"] if any(pool.get("include_deferred") for pool in full) else [])]
    filters = {**_EVERYWHERE, "pool": [pool["name"] for pool in full], "state": states, "limit": 20 * len(full)}
    results = await diagnosis.gather(takers=diagnosis.context.read_rows("list_task_instances", **filters))
    rows, total = results.get("takers", ([], 0))
    rows = sorted(rows, key=lambda row: str(row.get("start_date") or "~"))
    if len(full) == 1:
        return {full[0]["name"]: (rows, total)}
    by_pool = {pool["name"]: [row for row in rows if row.get("pool") == pool["name"]] for pool in full}
    return {name: (group, len(group)) for name, group in by_pool.items()}


async def _pool_changes(diagnosis: Diagnosis) -> list[Json] | None:
    """Return the event log's entries about pools, newest first, in one bounded read; None where they are incomplete."""
    since = f"{diagnosis.now - timedelta(days=CHANGED_DAYS):%Y-%m-%dT%H:%M:%SZ}"
    filters = {"included_events": list(POOL_EVENTS), "after": since, "limit": _MOST_CHANGES}
    results = await gather(changes=diagnosis.context.read_rows("list_event_logs", **filters))
    changes, total = results.get("changes", (None, 0))
    is_whole = changes is not None and total <= len(changes) and not diagnosis.context.hides
    return changes if is_whole else None  # a part of the log cannot prove that there was no change


async def _judge_queued(diagnosis: Diagnosis, queued: list[Json]) -> None:
    """Add the finding on task instances handed to the executor; the longest wait says whether that is remarkable."""
    context = diagnosis.context
    if diagnosis.one_at_a_time:  # the finding about the scheduler explains the wait already
        return
    if max(measure_age(row.get("queued_when"), diagnosis.now) or 0.0 for row in queued) <= PATIENCE:
        diagnosis.findings.append(explain_queued_tasks(queued, None, None, diagnosis.now))
        return
    names = [queued[0].get("queue") or "default"]
    reads = {"queue": context.read_rows("list_task_instances", **_EVERYWHERE, limit=1, state=["running"], queue=names)}
    if diagnosis.busy is None:
        reads["executor"] = context.read_rows(
            "list_task_instances", **_EVERYWHERE, limit=1, state=["running", "queued"]
        )
    results = await diagnosis.gather(**reads)
    busy, running = results.get("executor", (None, diagnosis.busy))[1], results.get("queue", (None, None))[1]
    if context.hides:  # then these totals count only what policy lets the caller see
        busy = running = None
    diagnosis.findings.append(explain_queued_tasks(queued, busy, running, diagnosis.now))
