"""Explain the limits that hold scheduled task instances back: pools, max_active_tasks, the executor."""

from __future__ import annotations

import json
from datetime import datetime

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.operations.event_changes import describe_changes
from airflow_mcp.text import shorten
from airflow_mcp.workflows.shared.findings import Finding, choose_verb, format_age, format_count, measure_age
from airflow_mcp.workflows.why_not_running.task_waits import PATIENCE, advise_unfinished, describe_subject

_MOST_NAMES = 3  # occupants of a pool that are named
CHANGED_DAYS = 30  # days of the event log in which changes of a pool are looked up
# Events about pools: of 3.x, of 2.x by its API and its UI, and of the command line.
POOL_EVENTS = (
    "patch_pool",
    "post_pool",
    "bulk_pools",
    "api.patch_pool",
    "api.post_pool",
    "ui.patch_pool",
    "ui.post_pool",
    "cli_pool_set",
    "cli_pool_import",
)


def group_by_pool(rows: list[Json]) -> dict[str, list[Json]]:
    """Return task instances by the pool they need."""
    groups: dict[str, list[Json]] = {}
    for row in rows:
        if row.get("pool"):
            groups.setdefault(row["pool"], []).append(row)
    return groups


def is_full(pool: Json, rows: list[Json]) -> bool:
    """Tell whether the open slots are too few for the smallest of these that could ever fit; -1 slots is no limit."""
    slots = pool.get("slots") or 0
    fitting = [need for row in rows if (need := row.get("pool_slots") or 1) <= slots]
    return slots != -1 and bool(fitting) and (pool.get("open_slots") or 0) < min(fitting)


def explain_unknown_pool(name: str, rows: list[Json]) -> Finding:
    """Return the finding that a pool does not exist, whose task instances Airflow never queues."""
    return Finding(
        "blocks",
        f"The pool {name!r} does not exist, so {describe_subject(rows, 'is', 'are')} never queued.",
        f"{format_count(len(rows), 'task instance')} of this run {choose_verb(len(rows), 'names', 'name')} it; no "
        "pool is called so.",
        "Name an existing pool in the DAG, or create this one.",
        (
            next_call(
                "create_pool",
                "makes it",
                pool_name=name,
                slots=max(row.get("pool_slots") or 1 for row in rows),
            ),
        ),
    )


def explain_pool(pool: Json, rows: list[Json], occupants: list[Json], total: int, now: datetime) -> Finding | None:
    """Return why these task instances get no slot of their pool, or None.

    `occupants` take the pool's slots, longest first; `total` is the number of all occupants.
    """
    name, slots = pool["name"], pool.get("slots")
    if slots == -1 or slots is None:
        return None
    too_big = [row for row in rows if (row.get("pool_slots") or 1) > slots]
    if too_big:
        need = max(row.get("pool_slots") or 1 for row in too_big)
        return Finding(
            "blocks",
            f"{describe_subject(too_big, 'needs', 'need')} {need} slots of pool {name!r}, which has only {slots}.",
            f"pool_slots {need}, slots {slots}.",
            "Make the pool larger, or lower pool_slots in the DAG.",
            (next_call("update_pool", "makes it large enough", pool_name=name, slots=need),),
        )
    if not is_full(pool, rows):
        return None
    texts = [
        f"{row['dag_id']} / {row['dag_run_id']} / {row['task_id']} ({row.get('state')} since "
        f"{format_age(row.get('start_date') or row.get('queued_when'), now)})"
        for row in occupants[:_MOST_NAMES]
    ]
    rest = f"; {total - len(texts)} more" if total > len(texts) else ""
    used_slots = pool.get("occupied_slots")
    return Finding(
        "blocks",
        f"Pool {name!r} is full: {used_slots} of {format_count(slots, 'slot')} taken, so "
        f"{describe_subject(rows, 'waits', 'wait')}.",
        ("Taken by " + "; ".join(texts) + rest + ".") if texts else f"open_slots {pool.get('open_slots')}.",
        "Wait for them, or make room.",
        (next_call("update_pool", "makes room", pool_name=name, slots=slots + len(rows)),),
    )


def explain_active_tasks(dag: Json, rows: list[Json], active: int | None, *, each_run: bool) -> Finding | None:
    """Return the finding that max_active_tasks is reached, or None.

    It limits the whole DAG on 2.x and each run on 3.x (`each_run`). `active` are running or queued; None where Airflow
    itself says that the limit is reached.
    """
    limit = dag.get("max_active_tasks")
    if not limit or (active is not None and active < limit):
        return None
    active = limit if active is None else active
    where = "of this run" if each_run else "of the DAG, over all its runs"
    return Finding(
        "blocks",
        f"max_active_tasks is reached: {active} of {limit} task instances {where} are running or queued.",
        f"{describe_subject(rows, 'waits', 'wait')} for one of them to end.",
        calls=(
            next_call(
                "list_task_instances", "shows them", dag_id=dag["dag_id"], dag_run_id="~", state=["running", "queued"]
            ),
        ),
    )


def taken_slots(pools: list[Json]) -> int:
    """Count the pool slots of running and queued task instances, which are what the executor has in hand."""
    return sum((pool.get("running_slots") or 0) + (pool.get("queued_slots") or 0) for pool in pools)


def explain_executor(rows: list[Json], busy: int, parallelism: int | None, now: datetime) -> Finding | None:
    """Return the finding that a scheduler has handed out as many tasks as it may, or None where it has not.

    `busy` is the number handed out; `parallelism` is [core] parallelism, which holds for each scheduler: None where it
    could not be read, and 0 for no limit.
    """
    load = f"{format_count(busy, 'task slot')} of all DAGs {choose_verb(busy, 'is', 'are')} running or queued"
    what = f"The executor may be full, so {describe_subject(rows, 'stays', 'stay')} scheduled."
    calls = (advise_unfinished("shows who takes it"),)
    if parallelism is not None:
        if not 0 < parallelism <= busy:
            return None
        return Finding("blocks", what, f"{load}; [core] parallelism is {parallelism} for each scheduler.", calls=calls)
    delays = [measure_age(row.get("scheduled_when"), now) for row in rows]
    if not busy or any(seconds is not None and seconds < PATIENCE for seconds in delays):
        return None
    evidence = f"{load}; how many one scheduler hands out ([core] parallelism) could not be read."
    return Finding("note", what, evidence, calls=calls)


def describe_pool(pool: Json, changes: list[Json] | None, now: datetime) -> str:
    """Describe a pool's purpose and its last change; `changes` are events about pools, None where they are unread."""
    words = [f"It is described as {shorten(pool['description'], 160)!r}."] if pool.get("description") else []
    if changes is not None:
        latest = next((event for event in changes if _names(event, pool["name"])), None)
        change = describe_changes([latest], is_gapless=False)[0] if latest else None
        words.append(
            f"Last changed by {latest.get('owner') or 'an unknown user'} {format_age(latest.get('when'), now)} "
            f"({latest.get('event')}{f': {change}' if change else ''})."
            if latest
            else f"The event log shows no change of it in the last {CHANGED_DAYS} days."
        )
    return " ".join(words)


def _names(event: Json, name: str) -> bool:
    """Tell whether an event is about the pool of that name.

    The name is a whole value of the event's extra, or a word of its command line.
    """
    text = str(event.get("extra") or "")
    return json.dumps(name) in text or repr(name) in text
