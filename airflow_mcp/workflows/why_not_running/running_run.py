"""What keeps a running run: reads its unfinished task instances and whatever the first of them wait for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import look
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.errors import NotFoundError
from airflow_mcp.workflows.shared.findings import Finding, ago, seconds_since
from airflow_mcp.workflows.why_not_running.limits import (
    CHANGED_DAYS,
    POOL_EVENTS,
    active_tasks_finding,
    describe_pool,
    full_executor,
    is_full,
    pool_finding,
    pools_of,
    taken_slots,
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
    reaches_active_tasks,
    told_by_airflow,
    waiting_findings,
    waits_for_past,
)

_OVER = ("success", "failed", "upstream_failed", "skipped", "removed")
_EVERYWHERE = {"dag_id": "~", "dag_run_id": "~"}
_TOLD_SINCE = (2, 10)  # of Airflow, that it says itself whether max_active_tasks keeps a task
_PARALLELISM = {"section": "core", "option": "parallelism"}
_MOST_INSTANCES = 10_000  # of a run, beyond which Airflow takes seconds for the dependencies of one of them
_MOST_CHANGES = 50  # events about pools that are read


async def judge_tasks(question: Question, dag: Json, run: Json) -> None:
    """Findings about the task instances that hold the others; 1 to 5 requests.

    The DAG's tasks are read only where one without a state may be in front: scheduled ones wait for no other task.
    """
    door, ids = question.door, {"dag_id": question.dag_id, "dag_run_id": run["dag_run_id"]}
    states = [*UNFINISHED, *(["awaiting_input"] if door.version >= (3, 3) else [])]
    seen = await question.look(task_instances=door.rows("list_task_instances", **ids, state=states))
    if "task_instances" not in seen.values:
        return
    rows, total = seen.values["task_instances"]
    begun = total
    if total > len(rows):  # a page full of tasks that wait for others may hide what they wait for
        begun_states = [state for state in states if state != "none"]
        more = await question.look(busy=door.rows("list_task_instances", **ids, state=begun_states))
        busy, begun = more.get("busy", (rows, total))
        rows = busy + [row for row in rows if not row.get("state")]
    known = begun <= sum(bool(row.get("state")) for row in rows) or total <= len(rows)
    active = sum(row.get("state") in ("running", "queued") for row in rows) if known else None
    asked = [row for row in rows if row.get("state") and question.task_id in (None, row["task_id"])]
    decided = bool(asked) if question.task_id else any(row.get("state") == "scheduled" for row in asked)
    tasks: list[Json] = []
    if not decided or any(row.get("state") == "up_for_retry" for row in asked):
        tasks = (await question.look(tasks=door.rows("list_tasks", dag_id=question.dag_id))).get("tasks", ([], 0))[0]
    front = front_of(rows, tasks, question.task_id)
    if question.task_id and question.task_id not in {row["task_id"] for row in rows}:
        await judge_ended_task(question, ids, sure=total <= len(rows))
        return
    before = len(question.findings)
    held = front.of("scheduled") or front.of("none")
    if held:
        await _judge_held(question, dag, run, held, active)
    if queued := front.of("queued"):
        await _judge_queued(question, queued)
    if held and len(question.findings) == before and not question.is_explained:
        await _judge_scheduler(question, run, held)
    question.findings += waiting_findings(front, tasks, question.components.get("triggerer"), question.now)
    if not rows:
        question.findings.append(
            Finding("runs", "No task instance is unfinished: the scheduler is about to end the run.")
        )
    if (behind := total - len(front.rows)) > 0:
        least = "at least " if decided else ""
        question.checked.append(
            f"{least}{behind} more task instances of the run are unfinished, behind these or beside them"
        )


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
    door, first, before = question.door, held[0], len(question.findings)
    if first.get("state") == "scheduled":
        seen = await question.look(pools=door.rows("list_pools"))
        if "pools" in seen.values:
            pools, known = seen.values["pools"]
            question.busy = taken_slots(pools)
            await _judge_pools(question, pools, known, held)
        over_runs = question.is_old  # what max_active_tasks counts: of the DAG on 2.x, of the run on 3.x
        unread = active is None or over_runs
        if len(question.findings) == before and unread and (not over_runs or door.version < _TOLD_SINCE):
            of = "~" if over_runs else run["dag_run_id"]
            busy = {"state": ["running", "queued"], "limit": 1}
            read = door.rows("list_task_instances", dag_id=question.dag_id, dag_run_id=of, **busy)
            active, unread = (await question.look(active_tasks=read)).get("active_tasks", ([], 0))[1], False
        if not unread and (limit := active_tasks_finding(dag, held, active or 0, each_run=not over_runs)):
            question.findings.append(limit)
        if len(question.findings) > before:
            return
    mapped = {} if first.get("map_index") is None else {"map_index": first["map_index"]}
    ids = {"dag_id": question.dag_id, "dag_run_id": run["dag_run_id"], "task_id": first["task_id"], **mapped}
    instances = 1 + max(row.get("map_index") or 0 for row in held)
    if instances > _MOST_INSTANCES:
        question.unseen["task dependencies"] = (
            f"not read: Airflow would look at every ended task instance of this run for them, which has {instances:,} "
            "at least."
        )
        return
    seen = await question.look(task_dependencies=door.rows("list_task_dependencies", **ids))
    reasons, _ = seen.get("task_dependencies", ([], 0))
    if waits_for_past(reasons):
        question.findings.append(await _judge_past(question, run, first))
    elif question.is_old and reaches_active_tasks(reasons):
        question.findings += filter(None, [active_tasks_finding(dag, held, None, each_run=False)])
    if len(question.findings) == before:
        question.findings += told_by_airflow(first, reasons)


async def _judge_scheduler(question: Question, run: Json, held: list[Json]) -> None:
    """Nothing else keeps these: the scheduler has handed out all it may, or has not come round to the run."""
    if held[0].get("state") == "scheduled" and question.busy:
        seen = await question.look(parallelism=question.door.rows("get_config_value", **_PARALLELISM))
        rows, _ = seen.get("parallelism", ([], 0))
        value = str(next((row.get("value") for row in rows if row.get("key") == "parallelism"), ""))
        limit = int(value) if value.isdecimal() else None
        if full := full_executor(held, question.busy, limit, question.now):
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
    unread = "not known" if seen.unseen else None
    return past_finding(row, before, unread or (seen.get("task_in_the_run_before") or {}).get("state"))


async def _judge_pools(question: Question, pools: list[Json], total: int, held: list[Json]) -> None:
    known = {pool["name"]: pool for pool in pools}
    needed = pools_of(held)
    for name, rows in needed.items():
        if name not in known and (total > len(pools) or question.door.hides):
            seen = await question.look(pool=none_if_missing(question.door.one("get_pool", pool_name=name)))
            if seen.unseen:
                known[name] = {"name": name}
            elif seen.get("pool"):
                known[name] = seen.values["pool"]
        if name not in known:
            question.findings.append(unknown_pool(name, rows))
    full = [known[name] for name, rows in needed.items() if name in known and is_full(known[name], rows)]
    takers = await _takers(question, full) if full else {}
    found: list[tuple[Json, Finding]] = []
    for name, rows in needed.items():
        own, number = takers.get(name, ([], 0))
        if name in known and (finding := pool_finding(known[name], rows, own, number, question.now)):
            found.append((known[name], finding))
    changes = await _pool_changes(question) if found else None
    for pool, finding in found:
        words = f"{finding.evidence} {describe_pool(pool, changes, question.now)}".strip()
        question.findings.append(replace(finding, evidence=words))


async def _takers(question: Question, full: list[Json]) -> dict[str, tuple[list[Json], int]]:
    """Who takes the slots of each full pool, longest first, and how many there are; one request for all of them."""
    states = ["running", "queued", *(["deferred"] if any(pool.get("include_deferred") for pool in full) else [])]
    asked = {**_EVERYWHERE, "pool": [pool["name"] for pool in full], "state": states, "limit": 20 * len(full)}
    seen = await question.look(takers=question.door.rows("list_task_instances", **asked))
    rows, total = seen.get("takers", ([], 0))
    rows = sorted(rows, key=lambda row: str(row.get("start_date") or "~"))
    if len(full) == 1:
        return {full[0]["name"]: (rows, total)}
    own = {pool["name"]: [row for row in rows if row.get("pool") == pool["name"]] for pool in full}
    return {name: (kept, len(kept)) for name, kept in own.items()}


async def _pool_changes(question: Question) -> list[Json] | None:
    """What the event log says about pools, newest first: one bounded read; None where it may not be read."""
    since = f"{question.now - timedelta(days=CHANGED_DAYS):%Y-%m-%dT%H:%M:%SZ}"
    asked = {"included_events": list(POOL_EVENTS), "after": since, "limit": _MOST_CHANGES}
    seen = await look(changes=question.door.rows("list_event_logs", **asked))
    changes, total = seen.get("changes", (None, 0))
    is_whole = changes is not None and total <= len(changes) and not question.door.hides
    return changes if is_whole else None  # of a part it cannot be said that there is no change


async def _judge_queued(question: Question, queued: list[Json]) -> None:
    """Handed to the executor: the longest wait says whether that is remarkable."""
    door = question.door
    if question.one_at_a_time:  # the finding about the scheduler says what they wait for
        return
    if max(seconds_since(row.get("queued_when"), question.now) or 0.0 for row in queued) <= PATIENCE:
        question.findings.append(queued_finding(queued, None, None, question.now))
        return
    lane = [queued[0].get("queue") or "default"]
    reads = {"queue": door.rows("list_task_instances", **_EVERYWHERE, limit=1, state=["running"], queue=lane)}
    if question.busy is None:
        reads["executor"] = door.rows("list_task_instances", **_EVERYWHERE, limit=1, state=["running", "queued"])
    seen = await question.look(**reads)
    busy, running = seen.get("executor", (None, question.busy))[1], seen.get("queue", (None, None))[1]
    if door.hides:  # then these count only what may be seen
        busy = running = None
    question.findings.append(queued_finding(queued, busy, running, question.now))
