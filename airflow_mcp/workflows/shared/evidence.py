"""The decisive error of a task's log, read through the door; and the event log's words where that log is silent."""

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
_SINCE = (2, 9)  # of Airflow, that its event log can be asked for some events of one run
_MOST_EVENTS = 100


class ExecutorEvents:
    """Why the scheduler gave task instances up, from Airflow's event log, which is asked once and when it is needed."""

    def __init__(self, context: WorkflowContext, /, **filters: Any) -> None:
        """`filters` are the arguments of list_event_logs that say whose events: of a run, or of a window of time."""
        self._context = context
        self._filters = filters
        self._rows: list[Json] | None = None
        self._turn = anyio.Lock()

    async def explain(self, ids: Json) -> str:
        """Say why this task instance was given up (dag_id, dag_run_id, task_id, try_number?, map_index?); "" for none.

        A caller that may not read the event log gets none.
        """
        names = [name for name in ("dag_id", "dag_run_id", "task_id") if name not in self._filters]
        wanted = (ids.get("map_index", -1), ids.get("try_number"))
        for row in await self._read():
            place = (row.get("map_index"), row.get("try_number"))
            here = all(row.get(name) == ids.get(name) for name in names)
            if here and all(ours in (None, theirs) for ours, theirs in zip(place, wanted, strict=True)):
                return explain_event(str(row.get("event")), str(row.get("extra") or ""))
        return ""

    async def _read(self) -> list[Json]:
        async with self._turn:
            if self._rows is None:
                self._rows = []
                if self._context.version >= _SINCE:
                    asked = {**self._filters, "included_events": list(EVENTS), "limit": _MOST_EVENTS}
                    try:
                        self._rows, _ = await self._context.read_rows("list_event_logs", **asked)
                    except AirflowMcpError:  # not allowed, or too slow: the log alone must do
                        self._rows = []
            return self._rows


async def read_evidence(
    context: WorkflowContext, ids: Json, *, size: int, events: ExecutorEvents | None = None
) -> DecisiveError:
    """Read one log (dag_id, dag_run_id, task_id, try_number, map_index?); the excerpt has at most `size` characters.

    Where the log is silent, `events` have the scheduler's words, else it takes one request more. A log that Airflow
    does not have is an answer too; raises what the door raises otherwise.
    """
    scan = LogScan(FORMS[context.version.generation], size)
    events = events or _read_task_events(context, ids)
    try:
        await read_log(context, ids, scan)
    except NotFoundError:
        what = await events.explain(ids) or NO_LOG
        return DecisiveError(what, what, died=True)
    return build_error(scan, size, await events.explain(ids) if scan.verdict.silent else "")


async def explain_give_up(context: WorkflowContext, ids: Json) -> str:
    """Say why the scheduler gave a task instance up, a sentence from Airflow's event log; "" if it does not say.

    A caller that may not read the event log gets none.
    """
    return await _read_task_events(context, ids).explain(ids)


def _read_task_events(context: WorkflowContext, ids: Json) -> ExecutorEvents:
    return ExecutorEvents(context, **{name: ids[name] for name in ("dag_id", "dag_run_id", "task_id")})
