"""Run again what failed in a window: the failed task instances of each failed run, oldest run first, or a backfill."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import run_concurrently
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError
from airflow_mcp.workflows.shared.failed_tasks import name_instances

_NAME = "plan_recovery"
_MOST_CALLS = 5  # advised for the runs that are excluded
_MOST_RUNS = 50  # of one DAG in one call
_NAMES = 120  # characters of a run's task instances


async def targets(context: WorkflowContext, arguments: Json) -> tuple[list[Json], Json]:
    """Return what would run again, in order of execution, and as `excluded` what would not, with the reason."""
    if arguments.get("mode", "clear") == "backfill":
        return await _read_dates(context, arguments), {}
    plans = await run_concurrently(
        _plan_dag(context, dag_id, arguments) for dag_id in dict.fromkeys(arguments["dag_ids"])
    )
    excluded = [reason for plan in plans for reason in plan.excluded]
    calls = [call for plan in plans for call in plan.calls][:_MOST_CALLS]
    facts: Json = {"excluded": excluded, "next": calls}
    return [row for part in plans for row in part.rows], {name: part for name, part in facts.items() if part}


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Run the plan and return the outcome of each step."""
    backfill = arguments.get("mode", "clear") == "backfill"
    return await (_start_backfill(context, arguments) if backfill else _clear(context))


def preview(arguments: Json, rows: list[Json], facts: Json) -> Json:
    """Build the answer of a dry run about the targets."""
    answer: Json = {"affected": len(rows), **facts}
    if not rows:
        return answer | {"hint": "Nothing to run again in this window. It is judged by when runs ended."}
    if arguments.get("mode", "clear") == "backfill":
        return answer | {"dates": [row["logical_date"] or row["partition_key"] for row in rows]}
    steps = [
        {
            "dag_run": run_id,
            "dag_id": dag_id,
            "task_instances": len(run_rows),
            "which": name_instances(run_rows, _NAMES),
        }
        for (dag_id, run_id), run_rows in _group_by_run(rows)
    ]
    return answer | {"runs": len(steps), "steps": steps}


@dataclass
class _DagPlan:
    """The failed task instances of a DAG's failed runs, those that are excluded, and the calls that help with these."""

    rows: list[Json] = field(default_factory=list[Json])
    excluded: list[str] = field(default_factory=list[str])
    calls: list[NextCall] = field(default_factory=list[NextCall])


async def _plan_dag(context: WorkflowContext, dag_id: str, arguments: Json) -> _DagPlan:
    window = {"end_date_gte": arguments["since"]}
    if until := arguments.get("until"):
        window["end_date_lte"] = until
    dag = await context.read_record("get_dag", dag_id=dag_id)
    runs, total = await context.read_rows(
        "list_dag_runs", dag_id=dag_id, state=["failed"], **window, order_by="run_after", limit=_MOST_RUNS
    )
    if runs and dag.get("is_stale"):
        excluded = [f"{dag_id}: {total} failed runs, but its file is gone or does not import"]
        return _DagPlan([], excluded, [next_call("list_import_errors", "shows whether its file does not import")])
    if runs and dag.get("is_paused"):
        excluded = [f"{dag_id}: {total} failed runs, but it is paused, so they would stay queued"]
        return _DagPlan([], excluded, [next_call("unpause_dag", "lets its runs go on", dag_id=dag_id)])
    plan = _DagPlan()
    plan.excluded = (
        [f"{dag_id}: {total - len(runs)} later failed runs; ask again after these"] if total > len(runs) else []
    )
    instances_by_run = await run_concurrently(_read_failed(context, row) for row in runs)
    for row, instances in zip(runs, instances_by_run, strict=True):
        if not instances:
            plan.excluded.append(
                f"{dag_id}/{row['dag_run_id']}: no task instance of it failed (timed out, or set by hand)"
            )
            ids = {"dag_id": dag_id, "dag_run_id": row["dag_run_id"]}
            plan.calls.append(next_call("clear_dag_run", "shows what would run again of a run as a whole", **ids))
    plan.rows = [instance for instances in instances_by_run for instance in instances]
    return plan


async def _read_failed(context: WorkflowContext, dag_run: Json) -> list[Json]:
    rows, _ = await context.read_rows("clear_task_instances", **_build_run(dag_run), dry_run=True)
    return rows


async def _clear(context: WorkflowContext) -> Json:
    """Clear run by run; a run that cannot be cleared is reported and the others go on."""
    runs = _group_by_run(list(context.confirmed_rows))
    steps: list[Json] = []
    for number, ((dag_id, run_id), rows) in enumerate(runs, start=1):
        step: Json = {"dag_id": dag_id, "dag_run": run_id}
        try:
            cleared, _ = await context.read_rows("clear_task_instances", **_build_run(rows[0]), dry_run=False)
            step["cleared"] = len(cleared)
            if len(cleared) != len(rows):
                step["confirmed"] = len(rows)
        except AirflowMcpError as error:
            step["error"] = str(error)
        steps.append(step)
        await context.progress(number, len(runs), f"{dag_id}/{run_id}: {step.get('cleared', 'not')} cleared")
    failed = sum("error" in step for step in steps)
    hint = f"{failed} of {len(steps)} runs were not cleared; the others run again." if failed else None
    return {"done": not failed, "affected": sum(step.get("cleared", 0) for step in steps), "steps": steps, "hint": hint}


async def _read_dates(context: WorkflowContext, arguments: Json) -> list[Json]:
    body = _build_backfill(arguments)
    dag = await context.read_record("get_dag", dag_id=body["dag_id"])
    if dag.get("is_paused"):
        error = InvalidArgumentsError(f"{_NAME}: {body['dag_id']} is paused, so the runs would wait.")
        raise error.advise(next_call("unpause_dag", "lets its runs go on", dag_id=body["dag_id"]))
    rows, _ = await context.read_rows("preview_backfill", **body)
    fields = ("logical_date", "partition_key")
    return [{"dag_id": body["dag_id"], **{name: row.get(name) for name in fields}} for row in rows]


async def _start_backfill(context: WorkflowContext, arguments: Json) -> Json:
    backfill = await context.read_record("post_backfill", **_build_backfill(arguments))
    list_call = next_call("list_dag_runs", "shows its runs, named backfill__<date>", dag_id=backfill["dag_id"])
    wait_calls = (
        [next_call("wait_for_backfill", "waits until they end", backfill_id=backfill["id"])]
        if backfill.get("id")
        else []
    )
    return {
        "done": True,
        "affected": len(context.confirmed_rows),
        "backfill_id": backfill.get("id"),
        "next": [*wait_calls, list_call],
    }


def _build_backfill(arguments: Json) -> Json:
    """Build the body of a backfill: of dates without a run, and of those whose run failed.

    Raises InvalidArgumentsError when `dag_ids` does not name exactly one DAG or `until` is missing.
    """
    if len(set(arguments["dag_ids"])) != 1 or "until" not in arguments:
        raise InvalidArgumentsError("plan_recovery: a backfill needs exactly one DAG in dag_ids, since and until.")
    return {
        "dag_id": arguments["dag_ids"][0],
        "from_date": arguments["since"],
        "to_date": arguments["until"],
        "reprocess_behavior": "failed",
    }


def _build_run(row: Json) -> Json:
    return {"dag_id": row["dag_id"], "dag_run_id": row["dag_run_id"], "only_failed": True, "reset_dag_runs": True}


def _group_by_run(rows: list[Json]) -> list[tuple[tuple[str, str], list[Json]]]:
    grouped = groupby(rows, key=lambda row: (row["dag_id"], row["dag_run_id"]))
    return [(key, list(group)) for key, group in grouped]
