"""Explain the scheduler's events about a task instance that Airflow gave up and whose own log says nothing.

Events of both generations: scheduler_job_runner.py of Airflow 2.11.2 and 3.3.2.
"""

from __future__ import annotations

import re

from airflow_mcp.task_logs.message import find_telling_text
from airflow_mcp.task_logs.process_end import NO_HEARTBEAT, clean_words

EVENTS = ("heartbeat timeout", "state mismatch", "stuck in queued tries exceeded")
# By Airflow's state of the task at the time when its executor reported the end.
_MISMATCHES = {
    "queued": (
        "The executor says that it ended ({0}) while Airflow still had it queued: it never started, or could not reach "
        "Airflow's API."
    ),
    "scheduled": (
        "The executor says that it ended ({0}) while Airflow still had it scheduled: it never started, or could not "
        "reach Airflow's API."
    ),
    "running": (
        "The executor says that it ended ({0}) while Airflow still had it running: the worker ended, or lost Airflow's "
        "API server."
    ),
    "restarting": "The executor says that it ended ({0}) while it was restarting: it was cleared or stopped meanwhile.",
    "success": (
        "The executor says that it ended ({0}) although the task had succeeded: a race of Airflow's own, the task did "
        "its work."
    ),
}
# Happens when a deferral's trigger fires at once: the report on the first part arrives when the second is queued.
_WELL_BUT_QUEUED = (
    "The executor says that it ended well while Airflow had it queued: most likely it had just deferred or been "
    "rescheduled, and the report came late, a race of Airflow's own; a new try may succeed."
)
_EARLY = (("success", "queued"), ("success", "scheduled"))
_OTHER = "The executor says that it ended ({0}) while Airflow had it {1}."
_STUCK = "It stayed queued until Airflow gave it up, because no worker took it"
_MISMATCH = re.compile(
    r"reported that (?:the task instance .*? |it )?finished with state (?P<ended>\w+)"
    r"(?:,? but the task instance's state attribute is (?P<state>\w+)|, although the task says it's (?P<other>\w+))?",
    re.DOTALL,
)
_EXTRA = re.compile(r"Extra info: (.*)", re.DOTALL)


def explain_event(event: str, words: str) -> str:
    """Explain an event's meaning for the task; `words` are the event's own. Empty for an event of another kind."""
    if event == "heartbeat timeout":
        return NO_HEARTBEAT
    if event == "stuck in queued tries exceeded":
        reason = clean_words(words).strip(" .")
        return f"{_STUCK} ({reason})." if reason else f"{_STUCK}."
    if event != "state mismatch":
        return ""
    match = _MISMATCH.search(words)
    extra = _EXTRA.search(words)
    why = find_telling_text(clean_words(extra[1])) if extra else ""
    end_state = match["ended"] if match else "state unknown"
    state = ((match["state"] or match["other"]) if match else "") or ""
    sentence = _WELL_BUT_QUEUED if (end_state, state) in _EARLY else _MISMATCHES.get(state, _OTHER)
    sentence = sentence.format(end_state, state or "in another state")
    return f"{sentence} The executor adds: {why}" if why and why not in ("None", "") else sentence
