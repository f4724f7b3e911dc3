"""Wait until a DAG run ends, with progress as task counts by state; stop at once where the DAG is paused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import anyio

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import run_concurrently
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext

ENDED = ("success", "failed")  # Airflow's terminal run states; upstream_failed is a task's, never a run's
SECONDS = 600  # to wait by default
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0  # seconds between polls
_DONE_STATES = ("success", "failed", "upstream_failed", "skipped", "removed")
_OTHER_STATES = (
    "running",
    "queued",
    "scheduled",
    "up_for_retry",
    "up_for_reschedule",
    "deferred",
    "restarting",
    "none",
)
_MOST_NAMES = 10  # failed task instances listed by name


async def poll(look: Callable[[], Awaitable[Json]], seconds: int, noun: str, going_on: NextCall) -> Json:
    """Poll until the status is `finished`, or has a `hint` why it will not be; at least once.

    After `seconds` the answer says that the `noun` is not finished, and advises the call that goes on waiting.
    """
    deadline = anyio.current_time() + seconds
    pause = _FIRST_PAUSE
    while True:
        status = await look()
        if status["finished"] or status.get("hint"):
            return status
        remaining_seconds = deadline - anyio.current_time()
        if remaining_seconds <= 0:
            hint = f"Not finished after {seconds} seconds; the {noun} goes on."
            return status | {"hint": hint, "next": [going_on]}
        await anyio.sleep(min(pause, remaining_seconds))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def wait_until_ended(context: WorkflowContext, ids: Json, seconds: int) -> Json:
    """Wait for the run, then return its state, task counts and failed task instances.

    `finished` is false when the DAG is paused or the time is up (`hint`, `next`).
    """

    async def look() -> Json:
        status = await _read_state(context, ids)
        if status["finished"] or not (await context.read_record("get_dag", dag_id=ids["dag_id"])).get("is_paused"):
            return status
        return status | {
            "hint": "The DAG is paused: its tasks are not scheduled.",
            "next": [unpause(ids), advise_wait(ids)],
        }

    return await poll(look, seconds, "run", advise_wait(ids))


def unpause(ids: Json) -> NextCall:
    """Return the call that lets a paused DAG's tasks start."""
    return next_call("unpause_dag", "starts its tasks, and any other run that is due", dag_id=ids["dag_id"])


def advise_wait(ids: Json) -> NextCall:
    """Return the call that goes on waiting for this run (dag_id, dag_run_id)."""
    return next_call("wait_for_dag_run", "goes on waiting", **ids)


async def _read_state(context: WorkflowContext, ids: Json) -> Json:
    dag_run = await context.read_record("get_dag_run", **ids)
    tasks, failed_names = await _count_tasks(context, ids)
    done_count = sum(count for state, count in tasks.items() if state in _DONE_STATES)
    words = ", ".join(f"{count} {state}" for state, count in tasks.items()) or "no task yet"
    await context.progress(done_count, sum(tasks.values()) or None, f"{dag_run['state']}: {words}")
    return {
        **ids,
        "state": dag_run["state"],
        "finished": dag_run["state"] in ENDED,
        "tasks": tasks,
        "failed_tasks": failed_names or None,
    }


async def _count_tasks(context: WorkflowContext, ids: Json) -> tuple[dict[str, int], list[str]]:
    """Count task instances by state, and name the first failed ones; beyond one page, by a total from Airflow each."""
    rows, total = await context.read_rows("list_task_instances", **ids)
    counts: dict[str, int]
    if total > len(rows):
        rows, _ = await context.read_rows("list_task_instances", **ids, state=["failed"], limit=_MOST_NAMES)
        newer_states = ["awaiting_input"] if context.version >= (3, 3) else []
        states: list[str] = sorted([*_DONE_STATES, *_OTHER_STATES, *newer_states])
        pages = await run_concurrently(
            context.read_rows("list_task_instances", **ids, state=[state], limit=1) for state in states
        )
        counts = {state: number for state, (_, number) in zip(states, pages, strict=True) if number}
    else:
        by_state = Counter(str(row.get("state") or "none") for row in rows)
        counts = {state: by_state[state] for state in sorted(by_state)}
    failed_rows = [row for row in rows if row.get("state") == "failed"][:_MOST_NAMES]
    return counts, [
        row["task_id"] + (f"[{row['map_index']}]" if row.get("map_index") is not None else "") for row in failed_rows
    ]
