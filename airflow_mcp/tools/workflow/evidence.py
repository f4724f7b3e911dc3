"""What a task's log says about its failure, for a composite: one line, a key to group by, and an excerpt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.errors import AirflowMcpError, NotFoundError
from airflow_mcp.redact import redact_text
from airflow_mcp.task_logs.excerpt import Verdict, describe, judge, last_output, lines_before, one_line
from airflow_mcp.task_logs.process_end import sentence_of_event
from airflow_mcp.task_logs.scan import LogScan
from airflow_mcp.task_logs.signature import normalised, signature, signature_of, what_of
from airflow_mcp.text import clean, shorten
from airflow_mcp.tools.inner import InnerDoor
from airflow_mcp.tools.workflow.log_stream import FORMS, read_log

__all__ = ["Evidence", "last_words", "read_evidence", "signature_of", "what_of"]
_LONGEST = 300  # characters of a line, and of a key
NO_LOG = "There is no log: the task never started, or its log is gone."
# What the scheduler writes down about a task instance it gives up. Both generations: scheduler_job_runner.py
_GIVEN_UP = ("heartbeat timeout", "state mismatch", "stuck in queued tries exceeded")


@dataclass(frozen=True)
class Evidence:
    """Why a try of a task instance failed, as far as its log says."""

    what: str  # one line, at most 300 characters: "ValueError: bad row 3", or a sentence on how it died
    signature: str  # the same for errors that differ in data only
    excerpt: str  # the exception's chain with frames, and the log lines before it
    at_line: int | None  # where the log says so, from 1
    lines: int  # of the whole log
    died: bool  # without an exception: killed, lost, stopped


async def read_evidence(door: InnerDoor, ids: Json, *, size: int) -> Evidence:
    """Read one log (dag_id, dag_run_id, task_id, try_number, map_index?); the excerpt has at most `size` characters.

    Takes one request more where the log is silent. A log that Airflow does not have is evidence too; raises what the
    door raises otherwise.
    """
    scan = LogScan(FORMS[door.version.generation], size)
    try:
        await read_log(door, ids, scan)
    except NotFoundError:
        what = await last_words(door, ids) or NO_LOG
        return Evidence(what, what, "", None, 0, died=True)
    told = judge(scan.story)
    if told.silent and (words := await last_words(door, ids)):
        told = replace(told, verdict=words)
    return _evidence(told, scan, size)


async def last_words(door: InnerDoor, ids: Json) -> str:
    """Why the scheduler gave a task instance up, a sentence from Airflow's event log; "" if it does not say.

    A caller that may not read the event log is not told.
    """
    named = {name: ids[name] for name in ("dag_id", "dag_run_id", "task_id")}
    try:
        rows, _ = await door.rows("list_event_logs", **named, included_events=list(_GIVEN_UP), limit=50)
    except AirflowMcpError:  # not allowed, or older than 2.9: the log alone must do
        return ""
    for row in rows:
        here = (row.get("map_index"), row.get("try_number"))
        wanted = (ids.get("map_index", -1), ids.get("try_number"))
        if all(mine in (None, theirs) for mine, theirs in zip(here, wanted, strict=True)):
            words = redact_text(clean(str(row.get("extra") or "")))
            return sentence_of_event(str(row.get("event")), words)
    return ""


def _evidence(told: Verdict, scan: LogScan, size: int) -> Evidence:
    if not told.text:
        text = "\n".join(scan.end(size, own=False).lines)[-size:]
    else:
        text = describe(told, size, scan.show)
        if before := lines_before(told, size - len(text) - 20, scan.show):
            text = f"{text}\nlines before it:\n{before}"
    what = shorten(one_line(told, scan.show), _LONGEST)
    return Evidence(what, _signature(told, scan), text, told.line or None, scan.lines, told.died)


def _signature(told: Verdict, scan: LogScan) -> str:
    error = told.error
    if told.died or error is None:
        last = signature(error.chain, error.message) if error else ""
        return f"{told.verdict}{f' <- {last}' if last else ''}"
    key = signature(error.chain, error.message)
    output = last_output(error, scan.show)  # that a command failed is no cause yet: its last words are
    return f"{key} <- {shorten(normalised(output[-1]), _LONGEST)}" if output else key
