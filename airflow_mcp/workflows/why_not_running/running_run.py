"""What keeps a running run: reads its unfinished task instances and whatever the first of them wait for."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.errors import NotFoundError
from airflow_mcp.workflows.shared.findings import Finding, ago, seconds_since
from airflow_mcp.workflows.why_not_running.limits import (
    active_tasks_finding,
    full_executor,
    is_full,
    pool_finding,
    pools_of,
    unknown_pool,
)
from airflow_mcp.workflows.why_not_running.question import Question, none_if_missing
from airflow_mcp.workflows.why_not_running.task_waits import (
    PATIENCE,
    UNFINISHED,
    front_of,
    names,
    past_finding,
    queued_finding,
    told_by_airflow,
    waiting_findings,
    waits_for_past,
)

_OVER = ("success", "failed", "upstream_failed", "skipped", "removed")
_EVERYWHERE = {"dag_id": "~", "dag_run_id": "~"}


async def judge_tasks(question: Question, dag: Json, run: Json) -> None:
    """Findings about the task instances that hold the others; 2 to 8 requests."""
    door, ids = question.door, {"dag_id": question.dag_id, "dag_run_id": run["dag_run_id"]}
    states = [*UNFINISHED, *(["awaiting_input"] if door.version >= (3, 3) else [])]
    seen = await question.look(
        task_instances=door.rows("list_task_instances", **ids, state=states),
        tasks=door.rows("list_tasks", dag_id=question.dag_id),
    )
    if "task_instances" not in seen.values:
        return
    rows, total = seen.values["task_instances"]
    if total > len(rows):  # a page full of tasks that wait for others may hide what they wait for
        active = [state for state in states if state != "none"]
        more = await question.look(busy=door.rows("list_task_instances", **ids, state=active))
        rows = more.get("busy", (rows, 0))[0] + [row for row in rows if not row.get("state")]
    tasks = seen.get("tasks", ([], 0))[0]
    front = front_of(rows, tasks, question.task_id)
    if question.task_id and question.task_id not in {row["task_id"] for row in rows}:
        await judge_ended_task(question, ids, sure=total <= len(rows))
        return
    if held := front.of("scheduled") or front.of("none"):
        active = sum(row.get("state") in ("running", "queued") for row in rows) if total <= len(rows) else None
        await _judge_held(question, dag, run, held, active)
    if queued := front.of("queued"):
        await _judge_queued(question, queued)
    question.findings += waiting_findings(front, tasks, question.components.get("triggerer"), question.now)
    if not rows:
        question.findings.append(
            Finding("runs", "No task instance is unfinished: the scheduler is about to end the run.")
        )
    if (behind := total - len(front.rows)) > 0:
        question.checked.append(f"{behind} more task instances of the run are unfinished, behind these or beside them")


async def judge_ended_task(question: Question, ids: Json, *, sure: bool = True) -> None:
    """The task asked about is not among the unfinished that were read (`sure`: these were all).

    Raises NotFoundError where the run has no such task.
    """
    state = "finished" if sure else None
    try:
        state = (await question.door.one("get_task_instance", **ids, task_id=question.task_id)).get("state")
    except NotFoundError as error:
        if "mapped" not in str(error):
            raise
    if not sure and state not in _OVER:
        said = f"The task is {state or 'not seen to be over'}, and one of very many that are unfinished in this run."
        holds = next_call("why_not_running", "says what holds the run", **ids)
        question.findings.append(Finding("note", said, calls=(holds,)))
        return
    question.is_over()
    failed = state in ("failed", "upstream_failed")
    calls = (next_call("diagnose_dag_run", "says why", **ids),) if failed else ()
    what = f"The task is over: {state}." if state else "The task never started, and its run is over."
    question.findings.append(Finding("ended", what, calls=calls))


async def _judge_held(question: Question, dag: Json, run: Json, held: list[Json], active: int | None) -> None:
    """Not queued yet although no other task is in the way: pools, limits, Airflow's own reasons, a full executor.

    `held` are scheduled, or else have no state yet: pools and limits are for the scheduled alone. `active` are the
    run's task instances that are running or queued, or None where not all of them were read.
    """
    door, first = question.door, held[0]
    mapped = {} if first.get("map_index") is None else {"map_index": first["map_index"]}
    ids = {"dag_id": question.dag_id, "dag_run_id": run["dag_run_id"], "task_id": first["task_id"], **mapped}
    reads: dict[str, Awaitable[Any]] = {"task_dependencies": door.rows("list_task_dependencies", **ids)}
    busy = {"state": ["running", "queued"], "limit": 1}
    scheduled = first.get("state") == "scheduled"
    if scheduled:
        reads["pools"] = door.rows("list_pools")
    if scheduled and (question.is_old or active is None):
        of = "~" if question.is_old else run["dag_run_id"]
        reads["active_tasks"] = door.rows("list_task_instances", dag_id=question.dag_id, dag_run_id=of, **busy)
    seen = await question.look(**reads)
    before = len(question.findings)
    if "pools" in seen.values:
        pools, known = seen.values["pools"]
        await _judge_pools(question, pools, known, held)
    active = active if "active_tasks" not in reads else seen.get("active_tasks", ([], 0))[1]
    if scheduled and (limit := active_tasks_finding(dag, held, active or 0, each_run=not question.is_old)):
        question.findings.append(limit)
    reasons, _ = seen.get("task_dependencies", ([], 0))
    if waits_for_past(reasons):
        question.findings.append(await _judge_past(question, run, first))
    elif len(question.findings) == before:
        question.findings += told_by_airflow(first, reasons)
    if question.is_blocked or len(question.findings) > before:
        return
    if scheduled:
        seen = await question.look(executor=door.rows("list_task_instances", **_EVERYWHERE, **busy))
        if full := full_executor(held, seen.get("executor", ([], 0))[1]):
            question.findings.append(full)
            return
    looked = run.get("last_scheduling_decision")
    since = seconds_since(looked, question.now)
    what = f"Nothing seen here keeps {names(held)} from being queued; the scheduler has not done it yet."
    evidence = f"The scheduler last looked at the run {ago(looked, question.now)}."
    late = since is not None and since > PATIENCE
    hint = "Look at the scheduler's own log: it has not come round to this run." if late else ""
    question.findings.append(Finding("note" if late else "waits", what, evidence, hint))


async def _judge_past(question: Question, run: Json, row: Json) -> Finding:
    """The latest run before this one by logical date, as depends_on_past counts, and the task's state in it."""
    door, ids = question.door, {"dag_id": question.dag_id}
    bound = {"logical_date_lte": run["logical_date"]} if run.get("logical_date") else {}
    asked = door.rows("list_dag_runs", **ids, **bound, order_by="-logical_date", limit=2)
    runs = (await question.look(runs_before=asked)).get("runs_before", ([], 0))[0]
    before = next((other for other in runs if other["dag_run_id"] != run["dag_run_id"]), None)
    if before is None:
        return past_finding(row, None, None)
    ids |= {"dag_run_id": before["dag_run_id"], "task_id": row["task_id"]}
    mapped = {} if row.get("map_index") is None else {"map_index": row["map_index"]}
    past = none_if_missing(door.one("get_task_instance", **ids, **mapped))
    seen = await question.look(task_in_the_run_before=past)
    return past_finding(row, before, (seen.get("task_in_the_run_before") or {}).get("state"))


async def _judge_pools(question: Question, pools: list[Json], total: int, held: list[Json]) -> None:
    known = {pool["name"]: pool for pool in pools}
    for name, rows in pools_of(held).items():
        pool = known.get(name)
        if pool is None and (total > len(pools) or question.door.hides):
            seen = await question.look(pool=none_if_missing(question.door.one("get_pool", pool_name=name)))
            if seen.unseen:
                continue
            pool = seen.get("pool")
        if pool is None:
            question.findings.append(unknown_pool(name, rows))
            continue
        takers, number = await _takers(question, pool) if is_full(pool, rows) else ([], 0)
        if finding := pool_finding(pool, rows, takers, number, question.now):
            question.findings.append(finding)


async def _takers(question: Question, pool: Json) -> tuple[list[Json], int]:
    """Who takes the pool's slots, longest first, and how many there are."""
    states = ["running", "queued", *(["deferred"] if pool.get("include_deferred") else [])]
    asked = {**_EVERYWHERE, "pool": [pool["name"]], "state": states, "limit": 20}
    seen = await question.look(takers=question.door.rows("list_task_instances", **asked))
    rows, total = seen.get("takers", ([], 0))
    return sorted(rows, key=lambda row: str(row.get("start_date") or "~")), total


async def _judge_queued(question: Question, queued: list[Json]) -> None:
    """Handed to the executor: the longest wait says whether that is remarkable."""
    door = question.door
    if max(seconds_since(row.get("queued_when"), question.now) or 0.0 for row in queued) <= PATIENCE:
        question.findings.append(queued_finding(queued, None, None, question.now))
        return
    lane = [queued[0].get("queue") or "default"]
    seen = await question.look(
        executor=door.rows("list_task_instances", **_EVERYWHERE, limit=1, state=["running", "queued"]),
        queue=door.rows("list_task_instances", **_EVERYWHERE, limit=1, state=["running"], queue=lane),
    )
    busy, running = seen.get("executor", (None, None))[1], seen.get("queue", (None, None))[1]
    if door.hides:  # then these count only what may be seen
        busy = running = None
    question.findings.append(queued_finding(queued, busy, running, question.now))
