"""Find the unfinished task instances of a run that the others wait for, and explain what these wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.text import shorten
from airflow_mcp.workflows.shared.components import Component
from airflow_mcp.workflows.shared.findings import (
    Finding,
    choose_verb,
    first_names,
    format_age,
    format_count,
    format_duration,
    measure_age,
    parse_time,
)

UNFINISHED = (
    "none",
    "scheduled",
    "queued",
    "running",
    "restarting",
    "up_for_retry",
    "up_for_reschedule",
    "deferred",
)
PATIENCE = 60.0  # seconds a task may stay queued or scheduled without that being remarkable
# Reasons of the dependencies endpoint that do not matter here, or that other findings explain better.
_NOISE = ("Task Instance State", "Dagrun Running", "Dag Not Paused", "Dagrun Exists")


@dataclass(frozen=True)
class Frontier:
    """The unfinished task instances that wait for no other one: what they wait for holds up the rest."""

    rows: list[Json]

    def select(self, *states: str) -> list[Json]:
        """Return the rows in one of these states ("none" for no state yet)."""
        return [row for row in self.rows if (row.get("state") or "none") in states]


def find_frontier(rows: list[Json], tasks: list[Json], task_id: str | None) -> Frontier:
    """Return the frontier of unfinished `rows`; with a task, of what that task waits for (itself included)."""
    upstream: dict[str, set[str]] = {}
    for task in tasks:
        for child in task.get("downstream_task_ids") or []:
            upstream.setdefault(child, set()).add(task["task_id"])
    if task_id is not None:
        task_ids = _find_ancestors(task_id, upstream) | {task_id}
        rows = [row for row in rows if row["task_id"] in task_ids]
        if any(row["task_id"] == task_id and row.get("state") for row in rows):
            rows = [row for row in rows if row["task_id"] == task_id]
    unfinished = {row["task_id"] for row in rows}
    return Frontier([row for row in rows if row.get("state") or not unfinished & upstream.get(row["task_id"], set())])


def _find_ancestors(task_id: str, upstream: dict[str, set[str]]) -> set[str]:
    ancestors: set[str] = set()
    todo = [task_id]
    while todo:
        for parent in upstream.get(todo.pop(), set()) - ancestors:
            ancestors.add(parent)
            todo.append(parent)
    return ancestors


def name_tasks(rows: Iterable[Json], most: int = 4) -> str:
    """Return the task ids, each once, with the number of its instances where there are several."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["task_id"]] = counts.get(row["task_id"], 0) + 1
    return first_names((name if number == 1 else f"{name} ({number})" for name, number in counts.items()), most)


def describe_subject(rows: list[Json], singular: str, plural: str) -> str:
    """Return those task instances as the subject of a verb, in the form that fits their number."""
    return f"{name_tasks(rows)} {choose_verb(len(rows), singular, plural)}"


def explain_waits(frontier: Frontier, tasks: list[Json], triggerer: Component | None, now: datetime) -> list[Finding]:
    """Return findings on tasks that run, or that wait for a retry, a sensor, a trigger or a person.

    Retries, sensors and triggers end by themselves, a trigger only while the triggerer is alive.
    """
    by_id = {task["task_id"]: task for task in tasks}
    findings: list[Finding] = []
    if rows := frontier.select("deferred"):
        findings.append(_explain_deferred(rows, triggerer, now))
    if rows := frontier.select("awaiting_input"):
        findings.append(
            Finding(
                "blocks",
                f"{describe_subject(rows, 'waits', 'wait')} for the answer of a person.",
                f"awaiting_input since {format_age(_find_oldest(rows, 'start_date'), now)}.",
                calls=(
                    next_call(
                        "get_hitl_detail",
                        "shows the question, which answer_hitl_detail answers",
                        **_identify_instance(rows[0]),
                    ),
                ),
            )
        )
    if rows := frontier.select("up_for_retry"):
        findings.append(_explain_retry(rows, by_id, now))
    if rows := frontier.select("up_for_reschedule"):
        first = _find_oldest(rows, "start_date")
        findings.append(
            Finding(
                "waits",
                f"The condition of {name_tasks(rows)} is not met yet: a sensor that looks again from time to time.",
                f"up_for_reschedule, last look {format_age(first, now)}, operator {rows[0].get('operator_name')}.",
                calls=(next_call("read_task_log", "shows what it looks for", **_identify_instance(rows[0])),),
            )
        )
    if rows := frontier.select("running", "restarting"):
        longest = _find_oldest(rows, "start_date")
        findings.append(
            Finding(
                "runs",
                f"{format_count(len(rows), 'task instance')} {choose_verb(len(rows), 'runs', 'run')}: "
                f"{name_tasks(rows)}.",
                f"The longest since {format_age(longest, now)}, on {rows[0].get('hostname') or 'an unknown host'}.",
                calls=(next_call("read_task_log", "shows what it does", **_identify_instance(rows[0])),),
            )
        )
    return findings


def _explain_deferred(rows: list[Json], triggerer: Component | None, now: datetime) -> Finding:
    trigger = rows[0].get("trigger") or {}
    trigger_name = trigger.get("classpath") or "its trigger"
    age = format_age(trigger.get("created_date") or rows[0].get("start_date"), now)
    triggerer_note = "" if trigger.get("triggerer_id") is not None else ", taken up by no triggerer"
    evidence = f"Deferred on {trigger_name} since {age}{triggerer_note}."
    if triggerer is not None and (triggerer.status != "healthy"):
        what = f"{describe_subject(rows, 'is', 'are')} deferred and cannot resume: {triggerer.describe(now)}."
        hint = "Start or restart the triggerer process where Airflow runs."
        return Finding("blocks", what, evidence, hint, (next_call("get_health", "shows when it is back"),))
    delay = measure_age(trigger.get("created_date"), now)
    if triggerer_note and delay is not None and delay > PATIENCE:
        what = f"No triggerer has taken up the trigger of {name_tasks(rows)} for {format_duration(delay)}."
        hint = "Look at the triggerer's own log: it may be at its capacity ([triggerer] capacity), or of another queue."
        return Finding("blocks", what, evidence, hint)
    return Finding(
        "waits",
        f"{describe_subject(rows, 'is', 'are')} deferred: to resume when the trigger fires.",
        evidence,
        calls=(next_call("read_task_log", "may say more", **_identify_instance(rows[0])),),
    )


def _explain_retry(rows: list[Json], tasks: dict[str, Json], now: datetime) -> Finding:
    """Return the finding on the next try, which starts `retry_delay` after the end of the last one.

    It starts later where the delay grows with each try.
    """
    dates = {id(row): _find_next_try(row, tasks.get(row["task_id"], {})) for row in rows}
    row = min(rows, key=lambda row: dates[id(row)] or now + timedelta(days=999))
    task, time = tasks.get(row["task_id"], {}), dates[id(row)]
    number, limit = row.get("try_number"), row.get("max_tries")
    tries = f"try {number} of {limit + 1}" if isinstance(limit, int) else f"try {number}"
    evidence = f"up_for_retry after {tries}, ended {row.get('end_date')}"
    if delay := _read_delay(task):
        growing = ", growing with each try" if task.get("retry_exponential_backoff") else ""
        evidence += f", retry_delay {format_duration(delay.total_seconds())}{growing}"
    log = (next_call("read_task_log", "shows the error", **_identify_instance(row)),)
    if time is None:
        what = f"{describe_subject(rows, 'is', 'are')} tried again after the retry delay."
        return Finding("waits", what, f"{evidence}.", calls=log)
    due_text = f"{format_age(time.isoformat(), now)}, at {time:%Y-%m-%dT%H:%M:%SZ}"
    if (now - time).total_seconds() > PATIENCE and not task.get("retry_exponential_backoff"):
        what = f"{describe_subject(rows, 'was', 'were')} due to be tried again {due_text}."
        return Finding("note", what, f"{evidence}.", calls=log)
    bound = "at the earliest " if task.get("retry_exponential_backoff") else ""
    return Finding(
        "waits", f"{describe_subject(rows, 'is', 'are')} tried again {bound}{due_text}.", f"{evidence}.", calls=log
    )


def _find_next_try(row: Json, task: Json) -> datetime | None:
    end_time, delay = parse_time(row.get("end_date")), _read_delay(task)
    return end_time + delay if end_time and delay is not None else None


def _read_delay(task: Json) -> timedelta | None:
    delay_fields = task.get("retry_delay")
    if not isinstance(delay_fields, dict):
        return None
    return timedelta(**{unit: delay_fields.get(unit) or 0 for unit in ("days", "seconds", "microseconds")})


def _find_oldest(rows: list[Json], field: str) -> str | None:
    return min((row[field] for row in rows if row.get(field)), default=None)


def _identify_instance(row: Json) -> Json:
    """Return the arguments that identify a task instance."""
    return {name: row.get(name) for name in ("dag_id", "dag_run_id", "task_id", "map_index")}


def advise_unfinished(why: str) -> NextCall:
    """Return the call that lists running and queued task instances of every DAG."""
    return next_call("list_task_instances", why, dag_id="~", dag_run_id="~", state=["running", "queued"])


def explain_queued_tasks(rows: list[Json], busy: int | None, in_queue: int | None, now: datetime) -> Finding:
    """Return the finding on queued task instances: handed to the executor, and started by no worker yet.

    `busy`: running and queued task instances of every DAG; `in_queue`: those running in the same queue. None: unknown.
    """
    first = _find_oldest(rows, "queued_when")
    delay = measure_age(first, now) or 0.0
    queue = rows[0].get("queue") or "default"
    evidence = f"Queued since {format_age(first, now)} in queue {queue!r}"
    evidence += f"; {in_queue} running in this queue" if in_queue is not None else ""
    evidence += f"; {busy} running or queued over all DAGs." if busy is not None else "."
    if delay < PATIENCE:
        what = f"{describe_subject(rows, 'was', 'were')} queued just now; a worker starts it within seconds."
        return Finding("waits", what, evidence)
    if in_queue == 0:
        return Finding(
            "blocks",
            f"No worker takes {name_tasks(rows)}, queued for {format_duration(delay)}: nothing at all runs in queue "
            f"{queue!r}.",
            evidence,
            f"Look whether a worker listens to queue {queue!r} (Celery: its -q option) and at the executor's log.",
        )
    return Finding(
        "blocks",
        f"No worker has started {name_tasks(rows)}, queued for {format_duration(delay)}.",
        evidence,
        "Look at the executor's log and the workers (lost messages, no capacity).",
        (advise_unfinished("shows who runs"),),
    )


def read_airflow_reasons(row: Json, reasons: list[Json]) -> list[Finding]:
    """Return the finding on what, according to Airflow itself, keeps a task instance from being queued."""
    relevant_reasons = [reason for reason in reasons if reason.get("name") not in _NOISE]
    if not relevant_reasons:
        return []
    ids = {name: row[name] for name in ("dag_id", "dag_run_id")}
    first = relevant_reasons[0]
    states_call = next_call("list_task_instances", "shows the states of the others", **ids)
    evidence = "; ".join(f"{reason.get('name')}: {reason.get('reason')}" for reason in relevant_reasons)
    what = f"Airflow does not queue {row['task_id']}: {shorten(str(first.get('reason')), 200)}"
    evidence = shorten(evidence, 900) if len(relevant_reasons) > 1 else str(first.get("name"))
    return [Finding("blocks", what, evidence, calls=(states_call,))]


def depends_on_past(reasons: list[Json]) -> bool:
    """Tell whether the task waits for its own instance in the run before (depends_on_past, wait_for_downstream)."""
    return any(reason.get("name") == "Previous Dagrun State" for reason in reasons)


def reaches_active_tasks(reasons: list[Json]) -> bool:
    """Tell whether Airflow says that max_active_tasks is reached, counted over the DAG's task instances as on 2.x."""
    return any(reason.get("name") == "Task Instance Slots Available" for reason in reasons)


def explain_previous(row: Json, previous: Json | None, state: str | None) -> Finding:
    """Return the finding that a task waits for its instance in the run before, with that instance's state."""
    task, ids = row["task_id"], {"dag_id": row["dag_id"]}
    what = f"{task} depends on its own past: the run before has to succeed first (depends_on_past)."
    if previous is None:
        return Finding("blocks", what, calls=(next_call("list_dag_runs", "shows the runs before", **ids),))
    ids["dag_run_id"] = previous["dag_run_id"]
    what = f"{task} depends on its own past (depends_on_past), and in the run before it is {state or 'not started'}."
    ended = previous.get("state") in ("success", "failed")
    evidence = f"Run {previous['dag_run_id']} is {previous.get('state')}."
    if not ended:
        waits = next_call("why_not_running", "says what that run waits for", **ids)
        return Finding("blocks", what, evidence, calls=(waits,))
    why = next_call("diagnose_dag_run", "says why", **ids)
    failed = None if state in ("failed", "upstream_failed") else False  # by default only what failed is cleared
    rerun = next_call("clear_task_instances", "shows what would run again", **ids, task_ids=[task], only_failed=failed)
    return Finding("blocks", what, evidence, calls=(why, rerun))
