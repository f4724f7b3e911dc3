"""Why a task died, from the words in which Airflow says so: killed, lost, stopped from outside, out of time.

The words are those of Airflow 2.11.2 and 3.3.2; where they are found in the source stands behind each. A task that
printed the same words itself is not believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_mcp.task_logs.records import LogRecord, render


@dataclass(frozen=True)
class EndSign:
    """One way to die. `mark` is a part of the message; `detail`, if any, fills {0} of the sentence from the line."""

    mark: str
    sentence: str
    detail: re.Pattern[str] | None = None
    weak: bool = False  # says that it ended, not why: an error that was logged says more


_OUTSIDE = "Stopped from outside: its state was set to {0} while it ran, by a person, the API or a run's timeout."
_UNWANTED = (
    "Stopped from outside: Airflow's API said that it should no longer run (state {0}), because somebody set its "
    "state, cleared it, or its heartbeat came too late."
)
_NO_HEARTBEAT = (
    "Its heartbeat stopped, so Airflow gave it up: the worker, pod or node died or was out of memory or CPU, or could "
    "not reach Airflow."
)
_MEMORY = "Killed (SIGKILL), most likely because the worker ran out of memory."
_KILLED = "Killed by a signal ({0}) from outside its own code."
_EXITED = "The process ended itself with exit code {0} (sys.exit or os._exit), without an exception."
_CODE = re.compile(r"(-?\d+)\)?\W*(?:$|\s)")
_STATE = re.compile(r"(?:set to |current_state['\"]: ['\"]?)(?:TaskInstanceState\.)?(\w+)", re.IGNORECASE)
_SIGNAL = re.compile(r"signal_name=(\w+)|\b(SIG[A-Z]+)\b")

# The more telling first: of several in one log the first in this list is the reason, the others follow from it.
SIGNS = (
    EndSign("Detected zombie job", _NO_HEARTBEAT),  # 2: scheduler_job_runner.py
    EndSign("Detected a task instance without a heartbeat", _NO_HEARTBEAT),  # 3: scheduler_job_runner.py
    EndSign("Heartbeat time limit exceeded", _NO_HEARTBEAT),  # 2: local_task_job_runner.py
    EndSign("Too many failed heartbeats", _NO_HEARTBEAT),  # 3: supervisor.py
    EndSign("DagRun timed out after", "The run's dagrun_timeout passed, so Airflow stopped its tasks."),  # 2
    EndSign("State of this instance has been externally set to", _OUTSIDE, _STATE),  # 2: local_task_job_runner.py
    EndSign("Server indicated the task shouldn't be running anymore", _UNWANTED, _STATE),  # 3: supervisor.py
    EndSign("job runner does not match", "Airflow found the task running elsewhere too, and stopped this one."),  # 2
    EndSign("likely due to running out of memory", _MEMORY),  # 2: standard_task_runner.py
    EndSign("Likely out of memory error (OOM)", _MEMORY),  # 3: supervisor.py
    EndSign("'reason': 'OOMKilled'", _MEMORY),  # both: cncf.kubernetes shows the pod it lost
    EndSign("'reason': 'Evicted'", "Its pod was evicted from its node."),  # both: cncf.kubernetes
    EndSign("non-zero exit code 137", "The command was killed (SIGKILL), most likely out of memory."),  # both: bash.py
    EndSign("non-zero exit code -9", "The command was killed (SIGKILL), most likely out of memory."),
    EndSign("Task exited with return code -9", _MEMORY),  # 2: local_task_job_runner.py
    EndSign("Received SIGSEGV", "A library written in C crashed (SIGSEGV, segmentation fault)."),  # both
    EndSign("Process terminated by signal", _KILLED, _SIGNAL),  # 3: supervisor.py
    EndSign("Sensor has timed out", "The sensor's condition did not come true within its timeout."),  # both: sensor.py
    EndSign("Process timed out", "It ran longer than its execution_timeout."),  # both: timeout.py
    EndSign("Received SIGTERM", _KILLED.format("SIGTERM")),  # 2: taskinstance.py, local_task_job_runner.py
    EndSign("Dag not found during start up", "Its DAG could not be loaded on the worker."),  # 3: task_runner.py
    EndSign("Task not found in Dag during start up", "Its DAG no longer has this task on the worker."),  # 3
    EndSign("Startup reschedule limit exceeded", "Its DAG could not be loaded on the worker."),  # 3: task_runner.py
    EndSign("Task failed due to SystemExit", _EXITED, _CODE, weak=True),  # 2: taskinstance.py
    EndSign("Task exited with return code", _EXITED, _CODE, weak=True),  # 2: local_task_job_runner.py
    EndSign("Task exited", _EXITED, _CODE, weak=True),  # 3: task_runner.py
    EndSign("Process exited abnormally", _EXITED, _CODE, weak=True),  # 3: supervisor.py
)
# Events of the scheduler (both: scheduler_job_runner.py), where a task instance has no log that could say it.
_EVENTS = {
    "heartbeat timeout": _NO_HEARTBEAT,
    "state mismatch": "The executor lost it: it ended before Airflow heard that it started ({0}).",
    "stuck in queued tries exceeded": "It stayed queued until Airflow gave it up: no worker took it ({0}).",
}
_LEARN_MORE = re.compile(r"\s*\(?(?:Learn more:|See|For more information, see)\s+https?://[^\s)]+\)?")
MARKS = tuple(cause.mark for cause in SIGNS)


@dataclass(frozen=True)
class ProcessEnd:
    """A cause found in a log: where, what Airflow said, and what that means."""

    line: int
    rank: int  # place in SIGNS
    words: str
    sentence: str
    weak: bool


def find_process_end(record: LogRecord, line: int) -> ProcessEnd | None:
    """What this record, which stands in that line, says about the task's death."""
    if not record.official:
        return None
    said = "\n".join([record.message, *(failure.what for failure in record.chain)])
    for rank, cause in enumerate(SIGNS):
        if cause.mark not in said:
            continue
        text = _LEARN_MORE.sub("", render(record))
        found = cause.detail.search(text, max(text.find(cause.mark), 0)) if cause.detail else None
        detail = next((part for part in found.groups() if part), "") if found else "unknown"
        if cause.weak and detail in ("0", "100"):  # all went well; 100: deferred
            return None
        if cause.weak and detail.startswith("-"):
            return ProcessEnd(line, rank, text, _KILLED.format(f"number {detail[1:]}"), weak=False)
        return ProcessEnd(line, rank, text, cause.sentence.format(detail), cause.weak)
    return None


def sentence_of_event(event: str, words: str) -> str:
    """What the scheduler's event says about the task's death; `words` are the event's own."""
    return _EVENTS[event].format(_LEARN_MORE.sub("", words).strip(" .")) if event in _EVENTS else ""
