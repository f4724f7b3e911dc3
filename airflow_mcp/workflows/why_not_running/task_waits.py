"""Which unfinished task instances of a run the others wait for, and what each kind of them waits for itself."""

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
# What the dependencies endpoint says beside the point, or what other findings say better.
_NOISE = ("Task Instance State", "Dagrun Running", "Dag Not Paused", "Dagrun Exists")


@dataclass(frozen=True)
class Frontier:
    """The unfinished task instances that wait for no other one: what they wait for holds the rest."""

    rows: list[Json]

    def select(self, *states: str) -> list[Json]:
        """Those in one of these states ("none" for no state yet)."""
        return [row for row in self.rows if (row.get("state") or "none") in states]


def find_frontier(rows: list[Json], tasks: list[Json], task_id: str | None) -> Frontier:
    """The front among unfinished `rows`; with a task, of what that task waits for (itself included)."""
    upstream: dict[str, set[str]] = {}
    for task in tasks:
        for below in task.get("downstream_task_ids") or []:
            upstream.setdefault(below, set()).add(task["task_id"])
    if task_id is not None:
        mine = _find_ancestors(task_id, upstream) | {task_id}
        rows = [row for row in rows if row["task_id"] in mine]
        if any(row["task_id"] == task_id and row.get("state") for row in rows):
            rows = [row for row in rows if row["task_id"] == task_id]
    unfinished = {row["task_id"] for row in rows}
    return Frontier([row for row in rows if row.get("state") or not unfinished & upstream.get(row["task_id"], set())])


def _find_ancestors(task_id: str, upstream: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [task_id]
    while todo:
        for above in upstream.get(todo.pop(), set()) - found:
            found.add(above)
            todo.append(above)
    return found


def name_tasks(rows: Iterable[Json], most: int = 4) -> str:
    """Task ids, each once, with how many of its instances are meant where that is more than one."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["task_id"]] = counts.get(row["task_id"], 0) + 1
    return first_names((name if number == 1 else f"{name} ({number})" for name, number in counts.items()), most)


def describe_subject(rows: list[Json], singular: str, plural: str) -> str:
    """Those task instances as the subject of a verb, in the form that fits."""
    return f"{name_tasks(rows)} {choose_verb(len(rows), singular, plural)}"


def explain_waits(frontier: Frontier, tasks: list[Json], triggerer: Component | None, now: datetime) -> list[Finding]:
    """Retries, sensors, triggers, people: what ends by itself (unless the triggerer is dead), and what runs."""
    by_id = {task["task_id"]: task for task in tasks}
    found: list[Finding] = []
    if rows := frontier.select("deferred"):
        found.append(_explain_deferred(rows, triggerer, now))
    if rows := frontier.select("awaiting_input"):
        found.append(
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
        found.append(_explain_retry(rows, by_id, now))
    if rows := frontier.select("up_for_reschedule"):
        first = _find_oldest(rows, "start_date")
        found.append(
            Finding(
                "waits",
                f"The condition of {name_tasks(rows)} is not met yet: a sensor that looks again from time to time.",
                f"up_for_reschedule, last look {format_age(first, now)}, operator {rows[0].get('operator_name')}.",
                calls=(next_call("read_task_log", "shows what it looks for", **_identify_instance(rows[0])),),
            )
        )
    if rows := frontier.select("running", "restarting"):
        longest = _find_oldest(rows, "start_date")
        found.append(
            Finding(
                "runs",
                f"{format_count(len(rows), 'task instance')} {choose_verb(len(rows), 'runs', 'run')}: "
                f"{name_tasks(rows)}.",
                f"The longest since {format_age(longest, now)}, on {rows[0].get('hostname') or 'an unknown host'}.",
                calls=(next_call("read_task_log", "shows what it does", **_identify_instance(rows[0])),),
            )
        )
    return found


def _explain_deferred(rows: list[Json], triggerer: Component | None, now: datetime) -> Finding:
    trigger = rows[0].get("trigger") or {}
    about = trigger.get("classpath") or "its trigger"
    since = format_age(trigger.get("created_date") or rows[0].get("start_date"), now)
    taken = "" if trigger.get("triggerer_id") is not None else ", taken up by no triggerer"
    evidence = f"Deferred on {about} since {since}{taken}."
    if triggerer is not None and (triggerer.status != "healthy"):
        what = f"{describe_subject(rows, 'is', 'are')} deferred and cannot resume: {triggerer.describe(now)}."
        hint = "Start or restart the triggerer process where Airflow runs."
        return Finding("blocks", what, evidence, hint, (next_call("get_health", "shows when it is back"),))
    waited = measure_age(trigger.get("created_date"), now)
    if taken and waited is not None and waited > PATIENCE:
        what = f"No triggerer has taken up the trigger of {name_tasks(rows)} for {format_duration(waited)}."
        hint = "Look at the triggerer's own log: it may be at its capacity ([triggerer] capacity), or of another queue."
        return Finding("blocks", what, evidence, hint)
    return Finding(
        "waits",
        f"{describe_subject(rows, 'is', 'are')} deferred: to resume when the trigger fires.",
        evidence,
        calls=(next_call("read_task_log", "may say more", **_identify_instance(rows[0])),),
    )


def _explain_retry(rows: list[Json], tasks: dict[str, Json], now: datetime) -> Finding:
    """The next try: after `retry_delay` from the end of the last one, later where the delay grows with each try."""
    due = {id(row): _find_next_try(row, tasks.get(row["task_id"], {})) for row in rows}
    row = min(rows, key=lambda row: due[id(row)] or now + timedelta(days=999))
    task, at = tasks.get(row["task_id"], {}), due[id(row)]
    tried, most = row.get("try_number"), row.get("max_tries")
    tries = f"try {tried} of {most + 1}" if isinstance(most, int) else f"try {tried}"
    evidence = f"up_for_retry after {tries}, ended {row.get('end_date')}"
    if delay := _read_delay(task):
        growing = ", growing with each try" if task.get("retry_exponential_backoff") else ""
        evidence += f", retry_delay {format_duration(delay.total_seconds())}{growing}"
    log = (next_call("read_task_log", "shows the error", **_identify_instance(row)),)
    if at is None:
        what = f"{describe_subject(rows, 'is', 'are')} tried again after the retry delay."
        return Finding("waits", what, f"{evidence}.", calls=log)
    when = f"{format_age(at.isoformat(), now)}, at {at:%Y-%m-%dT%H:%M:%SZ}"
    if (now - at).total_seconds() > PATIENCE and not task.get("retry_exponential_backoff"):
        what = f"{describe_subject(rows, 'was', 'were')} due to be tried again {when}."
        return Finding("note", what, f"{evidence}.", calls=log)
    bound = "at the earliest " if task.get("retry_exponential_backoff") else ""
    return Finding(
        "waits", f"{describe_subject(rows, 'is', 'are')} tried again {bound}{when}.", f"{evidence}.", calls=log
    )


def _find_next_try(row: Json, task: Json) -> datetime | None:
    ended, delay = parse_time(row.get("end_date")), _read_delay(task)
    return ended + delay if ended and delay is not None else None


def _read_delay(task: Json) -> timedelta | None:
    given = task.get("retry_delay")
    if not isinstance(given, dict):
        return None
    return timedelta(**{unit: given.get(unit) or 0 for unit in ("days", "seconds", "microseconds")})


def _find_oldest(rows: list[Json], field: str) -> str | None:
    return min((row[field] for row in rows if row.get(field)), default=None)


def _identify_instance(row: Json) -> Json:
    """The arguments that name a task instance."""
    return {name: row.get(name) for name in ("dag_id", "dag_run_id", "task_id", "map_index")}


def advise_unfinished(why: str) -> NextCall:
    """The call that lists what runs or is queued, of every DAG."""
    return next_call("list_task_instances", why, dag_id="~", dag_run_id="~", state=["running", "queued"])


def explain_queued_tasks(rows: list[Json], busy: int | None, in_queue: int | None, now: datetime) -> Finding:
    """Queued ones: handed to the executor, started by no worker yet.

    `busy`: running and queued task instances of every DAG; `in_queue`: those running in the same queue. None: unknown.
    """
    first = _find_oldest(rows, "queued_when")
    waited = measure_age(first, now) or 0.0
    queue = rows[0].get("queue") or "default"
    evidence = f"Queued since {format_age(first, now)} in queue {queue!r}"
    evidence += f"; {in_queue} running in this queue" if in_queue is not None else ""
    evidence += f"; {busy} running or queued over all DAGs." if busy is not None else "."
    if waited < PATIENCE:
        what = f"{describe_subject(rows, 'was', 'were')} queued just now; a worker starts it within seconds."
        return Finding("waits", what, evidence)
    if in_queue == 0:
        return Finding(
            "blocks",
            f"No worker takes {name_tasks(rows)}, queued for {format_duration(waited)}: nothing at all runs in queue "
            f"{queue!r}.",
            evidence,
            f"Look whether a worker listens to queue {queue!r} (Celery: its -q option) and at the executor's log.",
        )
    return Finding(
        "blocks",
        f"No worker has started {name_tasks(rows)}, queued for {format_duration(waited)}.",
        evidence,
        "Look at the executor's log and the workers (lost messages, no capacity).",
        (advise_unfinished("shows who runs"),),
    )


def read_airflow_reasons(row: Json, reasons: list[Json]) -> list[Finding]:
    """What Airflow itself says keeps a task instance from being queued."""
    told = [reason for reason in reasons if reason.get("name") not in _NOISE]
    if not told:
        return []
    ids = {name: row[name] for name in ("dag_id", "dag_run_id")}
    first = told[0]
    others = next_call("list_task_instances", "shows the states of the others", **ids)
    evidence = "; ".join(f"{reason.get('name')}: {reason.get('reason')}" for reason in told)
    what = f"Airflow does not queue {row['task_id']}: {shorten(str(first.get('reason')), 200)}"
    evidence = shorten(evidence, 900) if len(told) > 1 else str(first.get("name"))
    return [Finding("blocks", what, evidence, calls=(others,))]


def depends_on_past(reasons: list[Json]) -> bool:
    """Whether the task waits for its own instance in the run before (depends_on_past, wait_for_downstream)."""
    return any(reason.get("name") == "Previous Dagrun State" for reason in reasons)


def reaches_active_tasks(reasons: list[Json]) -> bool:
    """Whether Airflow says that max_active_tasks is reached: it counts the DAG's task instances, as 2.x schedules."""
    return any(reason.get("name") == "Task Instance Slots Available" for reason in reasons)


def explain_previous(row: Json, previous: Json | None, state: str | None) -> Finding:
    """The same task in the run before, and what became of it."""
    task, ids = row["task_id"], {"dag_id": row["dag_id"]}
    what = f"{task} depends on its own past: the run before has to succeed first (depends_on_past)."
    if previous is None:
        return Finding("blocks", what, calls=(next_call("list_dag_runs", "shows the runs before", **ids),))
    ids["dag_run_id"] = previous["dag_run_id"]
    what = f"{task} depends on its own past (depends_on_past), and in the run before it is {state or 'not started'}."
    over = previous.get("state") in ("success", "failed")
    evidence = f"Run {previous['dag_run_id']} is {previous.get('state')}."
    if not over:
        waits = next_call("why_not_running", "says what that run waits for", **ids)
        return Finding("blocks", what, evidence, calls=(waits,))
    why = next_call("diagnose_dag_run", "says why", **ids)
    failed = None if state in ("failed", "upstream_failed") else False  # by default only what failed is cleared
    again = next_call("clear_task_instances", "shows what would run again", **ids, task_ids=[task], only_failed=failed)
    return Finding("blocks", what, evidence, calls=(why, again))
