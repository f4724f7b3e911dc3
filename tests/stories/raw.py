"""The same questions asked of the raw operations: the calls an assistant makes when no tool answers the question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.stories.asking import Asker

Path = Callable[[Asker], Awaitable[None]]


def why_failed(dag_id: str, *, run_id: str = "", logs: int = 1, compare: bool = False) -> Path:
    """The run, its failed tasks (all pages), and the logs of the first few; `compare` with the last success."""

    async def ask(asker: Asker) -> None:
        runs = await asker.pages("list_dag_runs", dag_id=dag_id, state=["failed"])
        runs = runs or await asker.pages("list_dag_runs", dag_id=dag_id)
        chosen = run_id or runs[0]["dag_run_id"]
        await asker.ask("get_dag_run", dag_id=dag_id, dag_run_id=chosen)
        tasks = await asker.pages("list_task_instances", dag_id=dag_id, dag_run_id=chosen)
        failed = [task for task in tasks if task["state"] in ("failed", "up_for_retry")]
        for task in failed[:logs]:
            index = task.get("map_index")
            await asker.log(dag_id, chosen, task["task_id"], task["try_number"], index)
        if compare:
            (before, *_) = await asker.pages("list_dag_runs", dag_id=dag_id, state=["success"], limit=1)
            await asker.ask("get_dag_run", dag_id=dag_id, dag_run_id=before["dag_run_id"])

    return ask


def killed(dag_id: str, run_id: str) -> Path:
    """As for a failure; the log has no traceback, so the event log is asked too."""
    first = why_failed(dag_id, run_id=run_id)

    async def ask(asker: Asker) -> None:
        await first(asker)
        await asker.ask("list_event_logs", dag_id=dag_id, dag_run_id=run_id)

    return ask


def log(dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int | None = None) -> Path:
    """Look at the task instance, then read its whole log."""

    async def ask(asker: Asker) -> None:
        index = {} if map_index is None else {"map_index": map_index}
        await asker.ask("get_task_instance", dag_id=dag_id, dag_run_id=run_id, task_id=task_id, **index)
        if try_number:
            await asker.log(dag_id, run_id, task_id, try_number, map_index)

    return ask


def why_waiting(dag_id: str, run_id: str = "") -> Path:
    """Look wherever an operator looks: the DAG, its runs, their tasks, the pools, the health, the import errors."""

    async def ask(asker: Asker) -> None:
        await asker.result("get_dag_details", {"dag_id": dag_id})  # Airflow 2 has none of a DAG that it dropped
        runs = await asker.pages("list_dag_runs", dag_id=dag_id)
        if chosen := run_id or (runs[0]["dag_run_id"] if runs else ""):
            await asker.pages("list_task_instances", dag_id=dag_id, dag_run_id=chosen)
        await asker.pages("list_pools")
        await asker.ask("get_health")
        await asker.pages("list_import_errors")

    return ask


def where_is(dag_id: str) -> Path:
    """Look for a DAG that is not there."""

    async def ask(asker: Asker) -> None:
        await asker.pages("list_dags", dag_id_pattern=dag_id)
        for error in await asker.pages("list_import_errors"):
            await asker.ask("get_import_error", import_error_id=error["import_error_id"])

    return ask


def overview(dag_id: str) -> Path:
    """The DAG, its details, tasks and latest runs."""

    async def ask(asker: Asker) -> None:
        await asker.ask("get_dag", dag_id=dag_id)
        await asker.ask("get_dag_details", dag_id=dag_id)
        await asker.ask("list_tasks", dag_id=dag_id)
        await asker.ask("list_dag_runs", dag_id=dag_id, limit=10)

    return ask


async def morning(asker: Asker) -> None:
    """Health, import errors, failed runs, their failed tasks with one log each, long-running runs, pools."""
    await asker.ask("get_health")
    for error in await asker.pages("list_import_errors"):
        await asker.ask("get_import_error", import_error_id=error["import_error_id"])
    for run in await asker.pages("list_dag_runs", dag_id="~", state=["failed"]):
        ids = {"dag_id": run["dag_id"], "dag_run_id": run["dag_run_id"]}
        failed = await asker.ask("list_task_instances", **ids, state=["failed"], limit=5)
        if failed["rows"]:
            first = dict(zip(failed["columns"], failed["rows"][0], strict=True))
            await asker.log(
                run["dag_id"], run["dag_run_id"], first["task_id"], first["try_number"], first.get("map_index")
            )
    await asker.pages("list_dag_runs", dag_id="~", state=["running", "queued"])
    await asker.pages("list_pools")
