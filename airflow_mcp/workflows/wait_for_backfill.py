"""Wait until every run of a backfill has ended."""

from __future__ import annotations

from collections import Counter

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import run_concurrently
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.workflows.shared.run_wait import ENDED, SECONDS, poll, unpause

_STATES = ("queued", "running", *ENDED)  # of a DAG run
_NAMED = 10  # failed runs listed by id


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """How many of its runs are in which state, and which failed. Raises NotFoundError for an unknown backfill.

    `finished` is false when the backfill or its DAG is paused, or time is over (`hint`, `next`).
    """
    backfill_id = arguments["backfill_id"]
    wait_on = next_call("wait_for_backfill", "goes on waiting", backfill_id=backfill_id)

    async def look() -> Json:
        backfill = await context.read_record("get_backfill", backfill_id=backfill_id)
        seen = await _look(context, backfill_id, backfill)
        if seen["finished"]:
            return seen
        if backfill.get("is_paused"):
            goes_on = next_call("unpause_backfill", "goes on with its runs", backfill_id=backfill_id)
            return seen | {"hint": "The backfill is paused: it starts no more runs.", "next": [goes_on, wait_on]}
        if (await context.read_record("get_dag", dag_id=seen["dag_id"])).get("is_paused"):
            return seen | {"hint": "The DAG is paused: its runs are not started.", "next": [unpause(seen), wait_on]}
        return seen

    return await poll(look, arguments.get("timeout_seconds", SECONDS), "backfill", wait_on)


async def _look(context: WorkflowContext, backfill_id: int, backfill: Json) -> Json:
    """The backfill's runs by state. It is over when Airflow says so, or when none of its runs is left to end."""
    runs, failed = await _count_runs(context, backfill)
    total = sum(runs.values())
    done = sum(runs.get(state, 0) for state in ENDED)
    is_over = backfill.get("completed_at") is not None
    words = ", ".join(f"{count} {state}" for state, count in runs.items()) or "no run yet"
    await context.progress(done, total or None, f"backfill {backfill_id}: {words}")
    return {
        "backfill_id": backfill_id,
        "dag_id": backfill["dag_id"],
        "finished": is_over or (total > 0 and done == total),
        "completed_at": backfill.get("completed_at"),
        "runs": runs,
        "failed_runs": failed or None,
    }


async def _count_runs(context: WorkflowContext, backfill: Json) -> tuple[dict[str, int], list[str]]:
    """Runs by state, and the first failed ones; beyond one page by asking Airflow for each state's total.

    Airflow does not say which backfill a run is of: those of this one are of its dates, and no older than it is. Runs
    of partitions have no date.
    """
    asked: Json = {"dag_id": backfill["dag_id"], "run_type": "backfill"}
    if backfill.get("created_at"):
        asked["updated_at_gte"] = backfill["created_at"]
    dates = {"logical_date_gte": backfill.get("from_date"), "logical_date_lte": backfill.get("to_date")}
    dated = asked | {name: moment for name, moment in dates.items() if moment}
    rows, total = await context.read_rows("list_dag_runs", **dated)
    if not rows and dated != asked:
        dated = asked
        rows, total = await context.read_rows("list_dag_runs", **asked)
    if total > len(rows):
        pages = await run_concurrently(
            context.read_rows("list_dag_runs", **dated, state=[one], limit=_NAMED) for one in _STATES
        )
        counts = {state: count for state, (_, count) in zip(_STATES, pages, strict=True) if count}
        rows = [row for page, _ in pages for row in page]
    else:
        by_state = Counter(str(row.get("state")) for row in rows)
        counts = {state: by_state[state] for state in sorted(by_state)}
    return counts, [row["dag_run_id"] for row in rows if row.get("state") == "failed"][:_NAMED]
