"""Explanation of a 404: the DAG, run, task or pool that does not exist, and similar names that do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.errors import AirflowMcpError, NotFoundError
from airflow_mcp.near_names import find_near_names

if TYPE_CHECKING:
    from airflow_mcp.dispatch.workflow_context import WorkflowContext


async def explain_missing(context: WorkflowContext, arguments: Json, error: NotFoundError) -> NotFoundError:
    """Return a clearer error than Airflow's own, or the same one where nothing more can be found out.

    At most three more reads are made, and only names that the caller could list are given.
    """
    try:
        return await _find(context, arguments) or error
    except AirflowMcpError:
        return error  # the explanation is optional: its own failure must not hide the 404


async def _find(context: WorkflowContext, arguments: Json) -> NotFoundError | None:
    dag_id, dag_run_id = arguments.get("dag_id"), arguments.get("dag_run_id")
    if pool := arguments.get("pool_name"):
        pools, _ = await context.read_rows("list_pools")
        return _build_error(
            "pool", pool, [row["name"] for row in pools], next_call("list_pools", "shows what there is")
        )
    if dag_id in (None, "~"):
        return None
    if not await _exists(context, "get_dag", dag_id=dag_id):
        dag_ids = await _find_similar_dags(context, dag_id)
        return _build_error("DAG", dag_id, dag_ids, next_call("list_dags", "shows what there is"))
    if dag_run_id not in (None, "~") and not await _exists(
        context, "get_dag_run", dag_id=dag_id, dag_run_id=dag_run_id
    ):
        runs, _ = await context.read_rows("list_dag_runs", dag_id=dag_id, limit=3)
        latest = ", ".join(row["dag_run_id"] for row in runs)
        hint = f"Its latest runs: {latest}." if latest else "It has no runs yet."
        return NotFoundError(f"DAG {dag_id!r} has no run {dag_run_id[:120]!r}. {hint}", 404)
    if task_id := arguments.get("task_id"):
        tasks, _ = await context.read_rows("list_tasks", dag_id=dag_id)
        names = [row["task_id"] for row in tasks]
        if task_id not in names and task_id != "~":
            shows = next_call("list_tasks", "shows what there is", dag_id=dag_id)
            return _build_error(f"task of DAG {dag_id!r} named", task_id, names, shows)
    return None


async def _find_similar_dags(context: WorkflowContext, dag_id: str) -> list[str]:
    """Return DAG ids that share the first third of this id, else its last third: an error is seldom at both ends.

    A part is as long as possible, since Airflow answers with the first hundred matches.
    """
    length = max(len(dag_id) // 3, min(3, max(len(dag_id) - 1, 1)))
    for end in (dag_id[:length], dag_id[-length:]):
        rows, _ = await context.read_rows("list_dags", dag_id_pattern=_literal(end))
        dag_ids = [row["dag_id"] for row in rows]
        if find_near_names(dag_id, dag_ids):
            return dag_ids
    return []


def _literal(part: str) -> str:
    """Return a part of an id as a pattern: without %, and with _ only inside it, where it matches itself as well."""
    return part.replace("%", "").strip("_")


async def _exists(context: WorkflowContext, operation: str, /, **ids: str) -> bool:
    try:
        await context.read_record(operation, **ids)
    except NotFoundError:
        return False
    return True


def _build_error(kind: str, name: str, names: list[str], shows: NextCall) -> NotFoundError | None:
    if name in names:
        return None  # it exists: something else is missing
    close_names = find_near_names(name, names)
    hint = f" Did you mean {' or '.join(close_names)}?" if close_names else ""
    return NotFoundError(f"There is no {kind} {name[:120]!r}.{hint}", 404).advise(shows)
