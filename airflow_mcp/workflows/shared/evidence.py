"""The decisive error of a task's log, read through the door; and the event log's words where that log is silent."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.errors import AirflowMcpError, NotFoundError
from airflow_mcp.task_logs.decisive_error import DecisiveError, error_of
from airflow_mcp.task_logs.executor_events import EVENTS, sentence_of_event
from airflow_mcp.task_logs.scan import LogScan
from airflow_mcp.workflows.shared.log_stream import FORMS, read_log

NO_LOG = "There is no log: the task never started, or its log is gone."


async def read_evidence(door: InnerDoor, ids: Json, *, size: int) -> DecisiveError:
    """Read one log (dag_id, dag_run_id, task_id, try_number, map_index?); the excerpt has at most `size` characters.

    Takes one request more where the log is silent. A log that Airflow does not have is an answer too; raises what the
    door raises otherwise.
    """
    scan = LogScan(FORMS[door.version.generation], size)
    try:
        await read_log(door, ids, scan)
    except NotFoundError:
        what = await last_words(door, ids) or NO_LOG
        return DecisiveError(what, what, died=True)
    return error_of(scan, size, await last_words(door, ids) if scan.verdict.silent else "")


async def last_words(door: InnerDoor, ids: Json) -> str:
    """Say why the scheduler gave a task instance up, a sentence from Airflow's event log; "" if it does not say.

    A caller that may not read the event log gets none.
    """
    named = {name: ids[name] for name in ("dag_id", "dag_run_id", "task_id")}
    try:
        rows, _ = await door.rows("list_event_logs", **named, included_events=list(EVENTS), limit=50)
    except AirflowMcpError:  # not allowed, or older than 2.9: the log alone must do
        return ""
    for row in rows:
        here = (row.get("map_index"), row.get("try_number"))
        wanted = (ids.get("map_index", -1), ids.get("try_number"))
        if all(mine in (None, theirs) for mine, theirs in zip(here, wanted, strict=True)):
            return sentence_of_event(str(row.get("event")), str(row.get("extra") or ""))
    return ""
