"""Limits that hold scheduled task instances back: pools, max_active_tasks, the executor."""

from __future__ import annotations

from datetime import datetime

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.workflows.shared.findings import Finding, ago, count, verb
from airflow_mcp.workflows.why_not_running.task_waits import busy_everywhere, they

_SHOWN = 3  # occupants named
_PARALLELISM = 32  # [core] parallelism as Airflow ships it, 2.x and 3.x


def pools_of(rows: list[Json]) -> dict[str, list[Json]]:
    """Task instances by the pool they need."""
    found: dict[str, list[Json]] = {}
    for row in rows:
        if row.get("pool"):
            found.setdefault(row["pool"], []).append(row)
    return found


def is_full(pool: Json, rows: list[Json]) -> bool:
    """Whether none of these that could ever run finds room: too few open slots for the smallest. -1 means no limit."""
    slots = pool.get("slots") or 0
    fitting = [need for row in rows if (need := row.get("pool_slots") or 1) <= slots]
    return slots != -1 and bool(fitting) and (pool.get("open_slots") or 0) < min(fitting)


def unknown_pool(name: str, rows: list[Json]) -> Finding:
    """A pool that does not exist: Airflow never queues what names it."""
    return Finding(
        "blocks",
        f"The pool {name!r} does not exist, so {they(rows, 'is', 'are')} never queued.",
        f"{count(len(rows), 'task instance')} of this run {verb(len(rows), 'names', 'name')} it; no pool is called so.",
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


def pool_finding(pool: Json, rows: list[Json], occupants: list[Json], total: int, now: datetime) -> Finding | None:
    """Why these get no slot of their pool, or None. `occupants` take its slots, longest first; `total` of them."""
    name, slots = pool["name"], pool.get("slots")
    if slots == -1 or slots is None:
        return None
    too_big = [row for row in rows if (row.get("pool_slots") or 1) > slots]
    if too_big:
        need = max(row.get("pool_slots") or 1 for row in too_big)
        return Finding(
            "blocks",
            f"{they(too_big, 'needs', 'need')} {need} slots of pool {name!r}, which has only {slots}.",
            f"pool_slots {need}, slots {slots}.",
            "Make the pool larger, or lower pool_slots in the DAG.",
            (next_call("update_pool", "makes it large enough", pool_name=name, slots=need),),
        )
    if not is_full(pool, rows):
        return None
    shown = [
        f"{row['dag_id']} / {row['dag_run_id']} / {row['task_id']} ({row.get('state')} since "
        f"{ago(row.get('start_date') or row.get('queued_when'), now)})"
        for row in occupants[:_SHOWN]
    ]
    more = f"; {total - len(shown)} more" if total > len(shown) else ""
    taken = pool.get("occupied_slots")
    return Finding(
        "blocks",
        f"Pool {name!r} is full: {taken} of {count(slots, 'slot')} taken, so {they(rows, 'waits', 'wait')}.",
        ("Taken by " + "; ".join(shown) + more + ".") if shown else f"open_slots {pool.get('open_slots')}.",
        "Wait for them, or make room.",
        (next_call("update_pool", "makes room", pool_name=name, slots=slots + len(rows)),),
    )


def active_tasks_finding(dag: Json, rows: list[Json], active: int, *, each_run: bool) -> Finding | None:
    """max_active_tasks: of the whole DAG on 2.x, of each run on 3.x (`each_run`). `active` are running or queued."""
    limit = dag.get("max_active_tasks")
    if not limit or active < limit:
        return None
    where = "of this run" if each_run else "of the DAG, over all its runs"
    return Finding(
        "blocks",
        f"max_active_tasks is reached: {active} of {limit} task instances {where} are running or queued.",
        f"{they(rows, 'waits', 'wait')} for one of them to end.",
        calls=(
            next_call(
                "list_task_instances", "shows them", dag_id=dag["dag_id"], dag_run_id="~", state=["running", "queued"]
            ),
        ),
    )


def full_executor(rows: list[Json], busy: int) -> Finding | None:
    """Beyond [core] parallelism (for each scheduler; 32 by default) tasks stay scheduled.

    Its value is not read: a tool that reads configuration could read secrets.
    """
    if busy < _PARALLELISM:
        return None
    return Finding(
        "blocks",
        f"The executor may be full, so {they(rows, 'stays', 'stay')} scheduled.",
        f"{busy} task instances of all DAGs are running or queued; [core] parallelism is {_PARALLELISM} for each "
        "scheduler unless it is set.",
        calls=(busy_everywhere("shows who takes it"),),
    )
