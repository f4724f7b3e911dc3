"""Read the decisive error of a task's log, and the reason in Airflow's event log where the task's log is silent."""

from __future__ import annotations

from typing import Any

import anyio

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, NotFoundError
from airflow_mcp.task_logs.decisive_error import DecisiveError, build_error
from airflow_mcp.task_logs.executor_events import EVENTS, explain_event
from airflow_mcp.task_logs.log_scan import LogScan
from airflow_mcp.workflows.shared.log_stream import FORMS, read_log

NO_LOG = "There is no log: the task never started, or its log is gone."
_SINCE = (2, 9)  # the first Airflow whose event log can be filtered by event and by run
_MOST_EVENTS = 100


class ExecutorEvents:
    """Why the scheduler gave up task instances, from Airflow's event log, which is read once and only when needed."""

    def __init__(self, context: WorkflowContext, /, **filters: Any) -> None:
        """Store `filters`, the arguments of list_event_logs that select the events of a run or of a time window."""
        self._context = context
        self._filters = filters
        self._rows: list[Json] | None = None
        self._turn = anyio.Lock()

    async def explain(self, ids: Json) -> str:
        """Explain why this task instance was given up (dag_id, dag_run_id, task_id, try_number?, map_index?).

        Returns "" where no event says so, and for a caller that may not read the event log.
        """
        names = [name for name in ("dag_id", "dag_run_id", "task_id") if name not in self._filters]
        instance_key = (ids.get("map_index", -1), ids.get("try_number"))
        for row in await self._read():
            event_key = (row.get("map_index"), row.get("try_number"))
            is_same_task = all(row.get(name) == ids.get(name) for name in names)
            if is_same_task and all(
                event_value in (None, instance_value)
                for event_value, instance_value in zip(event_key, instance_key, strict=True)
            ):
                return explain_event(str(row.get("event")), str(row.get("extra") or ""))
        return ""

    async def _read(self) -> list[Json]:
        async with self._turn:
            if self._rows is None:
                self._rows = []
                if self._context.version >= _SINCE:
                    arguments = {**self._filters, "included_events": list(EVENTS), "limit": _MOST_EVENTS}
                    try:
                        self._rows, _ = await self._context.read_rows("list_event_logs", **arguments)
                    except AirflowMcpError:  # not allowed, or too slow: the task's log has to suffice
                        self._rows = []
            return self._rows


async def read_evidence(
    context: WorkflowContext, ids: Json, *, size: int, events: ExecutorEvents | None = None
) -> DecisiveError:
    """Read one log (dag_id, dag_run_id, task_id, try_number, map_index?); the excerpt has at most `size` characters.

    Where the log is silent, the scheduler's reason comes from `events`; without them it takes one request more. A log
    that Airflow does not have is an answer too; any other error of the request is raised.
    """
    scan = LogScan(FORMS[context.version.generation], size)
    events = events or _read_task_events(context, ids)
    try:
        await read_log(context, ids, scan)
    except NotFoundError:
        reason = await events.explain(ids) or NO_LOG
        return DecisiveError(reason, reason, died=True)
    return build_error(scan, size, await events.explain(ids) if scan.verdict.silent else "")


async def explain_give_up(context: WorkflowContext, ids: Json) -> str:
    """Explain in a sentence from Airflow's event log why the scheduler gave up a task instance; "" if it does not say.

    Returns "" also for a caller that may not read the event log.
    """
    return await _read_task_events(context, ids).explain(ids)


def _read_task_events(context: WorkflowContext, ids: Json) -> ExecutorEvents:
    return ExecutorEvents(context, **{name: ids[name] for name in ("dag_id", "dag_run_id", "task_id")})
