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
    """Count the backfill's runs by state and name the failed ones. Raises NotFoundError for an unknown backfill.

    `finished` is false when the backfill or its DAG is paused, or the time is up (`hint`, `next`).
    """
    backfill_id = arguments["backfill_id"]
    wait_call = next_call("wait_for_backfill", "goes on waiting", backfill_id=backfill_id)

    async def look() -> Json:
        backfill = await context.read_record("get_backfill", backfill_id=backfill_id)
        status = await _look(context, backfill_id, backfill)
        if status["finished"]:
            return status
        if backfill.get("is_paused"):
            unpause_call = next_call("unpause_backfill", "goes on with its runs", backfill_id=backfill_id)
            return status | {
                "hint": "The backfill is paused: it starts no more runs.",
                "next": [unpause_call, wait_call],
            }
        if (await context.read_record("get_dag", dag_id=status["dag_id"])).get("is_paused"):
            return status | {
                "hint": "The DAG is paused: its runs are not started.",
                "next": [unpause(status), wait_call],
            }
        return status

    return await poll(look, arguments.get("timeout_seconds", SECONDS), "backfill", wait_call)


async def _look(context: WorkflowContext, backfill_id: int, backfill: Json) -> Json:
    """Count the backfill's runs by state. It is finished when Airflow says so, or when all of its runs have ended."""
    runs, failed_run_ids = await _count_runs(context, backfill)
    total = sum(runs.values())
    done_count = sum(runs.get(state, 0) for state in ENDED)
    is_over = backfill.get("completed_at") is not None
    words = ", ".join(f"{count} {state}" for state, count in runs.items()) or "no run yet"
    await context.progress(done_count, total or None, f"backfill {backfill_id}: {words}")
    return {
        "backfill_id": backfill_id,
        "dag_id": backfill["dag_id"],
        "finished": is_over or (total > 0 and done_count == total),
        "completed_at": backfill.get("completed_at"),
        "runs": runs,
        "failed_runs": failed_run_ids or None,
    }


async def _count_runs(context: WorkflowContext, backfill: Json) -> tuple[dict[str, int], list[str]]:
    """Count runs by state and name the first failed ones; beyond one page, ask Airflow for each state's total.

    Airflow does not say to which backfill a run belongs: the runs of this one lie within its dates and are no older
    than it is. Runs of partitions have no date.
    """
    filters: Json = {"dag_id": backfill["dag_id"], "run_type": "backfill"}
    if backfill.get("created_at"):
        filters["updated_at_gte"] = backfill["created_at"]
    dates = {"logical_date_gte": backfill.get("from_date"), "logical_date_lte": backfill.get("to_date")}
    dated_filters = filters | {name: moment for name, moment in dates.items() if moment}
    rows, total = await context.read_rows("list_dag_runs", **dated_filters)
    if not rows and dated_filters != filters:
        dated_filters = filters
        rows, total = await context.read_rows("list_dag_runs", **filters)
    if total > len(rows):
        pages = await run_concurrently(
            context.read_rows("list_dag_runs", **dated_filters, state=[state_filter], limit=_NAMED)
            for state_filter in _STATES
        )
        counts = {state: count for state, (_, count) in zip(_STATES, pages, strict=True) if count}
        rows = [row for page, _ in pages for row in page]
    else:
        by_state = Counter(str(row.get("state")) for row in rows)
        counts = {state: by_state[state] for state in sorted(by_state)}
    return counts, [row["dag_run_id"] for row in rows if row.get("state") == "failed"][:_NAMED]
