"""Read how a task's process ended from Airflow's words in its log: killed, lost, stopped, out of time.

The words are those of Airflow 2.11.2 and 3.3.2; the comment behind each names its source file. The same words do not
count where the task itself printed them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_mcp.task_logs.records import LogRecord, make_safe, render


@dataclass(frozen=True)
class EndSign:
    """Words of Airflow: `mark` is a part of the message; `detail`, if any, reads {0} of the sentence from the line."""

    mark: str
    sentence: str
    detail: re.Pattern[str] | None = None
    weak: bool = False  # says that the process ended, not why: an error that was logged says more


_STOPPED = "Stopped from outside: its state was set to {0} while it ran, by a person, the API or a run's timeout."
_STOPPED_BY_API = (
    "Stopped from outside: Airflow's API said that it should no longer run (state {0}), because somebody set its "
    "state, cleared it, or its heartbeat came too late."
)
NO_HEARTBEAT = (
    "Its heartbeat stopped, so Airflow gave it up: the worker, pod or node died or was out of memory or CPU, or could "
    "not reach Airflow."
)
_MEMORY = "Killed (SIGKILL), most likely because the worker ran out of memory."
_SIGNALLED = "Killed by a signal ({0}) from outside its own code."
_EXIT_CODE = "The process ended itself with exit code {0} (sys.exit or os._exit), without an exception."
_EXIT_TEXT = "The process ended itself with the words: {0}"
# 2: "SystemExit(3)", "return code 3"; 3: the field exit_code, which is the text that sys.exit was given
_CODE = re.compile(r"(?:SystemExit\(|return code |exit_code=)(.*?)\)?$", re.DOTALL)
_STATE = re.compile(r"(?:set to |current_state['\"]: ['\"]?)(?:TaskInstanceState\.)?(\w+)", re.IGNORECASE)
_SIGNAL = re.compile(r"signal_name=(\w+)|\b(SIG[A-Z]+)\b")

# In order of precedence: of several in one log the first in this list is the reason, the others follow from it.
SIGNS = (
    EndSign("Detected zombie job", NO_HEARTBEAT),  # 2: scheduler_job_runner.py
    EndSign("Detected a task instance without a heartbeat", NO_HEARTBEAT),  # 3: scheduler_job_runner.py
    EndSign("Heartbeat time limit exceeded", NO_HEARTBEAT),  # 2: local_task_job_runner.py
    EndSign("Too many failed heartbeats", NO_HEARTBEAT),  # 3: supervisor.py
    EndSign("DagRun timed out after", "The run's dagrun_timeout passed, so Airflow stopped its tasks."),  # 2
    EndSign("State of this instance has been externally set to", _STOPPED, _STATE),  # 2: local_task_job_runner.py
    EndSign("Server indicated the task shouldn't be running anymore", _STOPPED_BY_API, _STATE),  # 3: supervisor.py
    EndSign("job runner does not match", "Airflow found the task running elsewhere too, and stopped this one."),  # 2
    EndSign("likely due to running out of memory", _MEMORY),  # 2: standard_task_runner.py
    EndSign("Likely out of memory error (OOM)", _MEMORY),  # 3: supervisor.py
    EndSign("'reason': 'OOMKilled'", _MEMORY),  # both: cncf.kubernetes shows the pod it lost
    EndSign("'reason': 'Evicted'", "Its pod was evicted from its node."),  # both: cncf.kubernetes
    EndSign("non-zero exit code 137", "The command was killed (SIGKILL), most likely out of memory."),  # both: bash.py
    EndSign("non-zero exit code -9", "The command was killed (SIGKILL), most likely out of memory."),
    EndSign("Task exited with return code -9", _MEMORY),  # 2: local_task_job_runner.py
    EndSign("Received SIGSEGV", "A library written in C crashed (SIGSEGV, segmentation fault)."),  # both
    EndSign("Process terminated by signal", _SIGNALLED, _SIGNAL),  # 3: supervisor.py
    EndSign("Sensor has timed out", "The sensor's condition did not come true within its timeout."),  # both: sensor.py
    EndSign("Process timed out", "It ran longer than its execution_timeout."),  # both: timeout.py
    EndSign("Received SIGTERM", _SIGNALLED.format("SIGTERM")),  # 2: taskinstance.py, local_task_job_runner.py
    EndSign("Dag not found during start up", "Its DAG could not be loaded on the worker."),  # 3: task_runner.py
    EndSign("Task not found in Dag during start up", "Its DAG no longer has this task on the worker."),  # 3
    EndSign("Startup reschedule limit exceeded", "Its DAG could not be loaded on the worker."),  # 3: task_runner.py
    EndSign("Task failed due to SystemExit", _EXIT_CODE, _CODE, weak=True),  # 2: taskinstance.py
    EndSign("Task exited with return code", _EXIT_CODE, _CODE, weak=True),  # 2: local_task_job_runner.py
    EndSign("Task exited", _EXIT_CODE, _CODE, weak=True),  # 3: task_runner.py
    EndSign("Process exited abnormally", _EXIT_CODE, _CODE, weak=True),  # 3: supervisor.py
)
_LEARN_MORE = re.compile(r"\s*\(?(?:Learn more:|See|For more information, see)\s+https?://[^\s)]+\)?")
MARKS = tuple(sign.mark for sign in SIGNS)


@dataclass(frozen=True)
class ProcessEnd:
    """The end of a process according to its log: the line, Airflow's words, and what they mean."""

    line: int
    rank: int  # place in SIGNS
    words: str
    sentence: str
    weak: bool
    text: str = ""  # the text that the task passed to sys.exit


def find_process_end(record: LogRecord, line: int) -> ProcessEnd | None:
    """Return what a record in that line says about the end of the process, or None."""
    if not record.official:
        return None
    message = "\n".join([record.message, *(exception.text for exception in record.chain)])
    for rank, sign in enumerate(SIGNS):
        if sign.mark not in message:
            continue
        text = _LEARN_MORE.sub("", render(record))
        match = sign.detail.search(text, max(text.find(sign.mark), 0)) if sign.detail else None
        detail = next((part for part in match.groups() if part), "") if match else "unknown"
        if sign.weak:
            return _build_exit(record, line, rank, text, detail)
        return ProcessEnd(line, rank, text, sign.sentence.format(detail), sign.weak)
    return None


def _build_exit(record: LogRecord, line: int, rank: int, words: str, detail: str) -> ProcessEnd | None:
    """Return how a process ended itself: with a code, by a signal, or with the text that it passed to sys.exit."""
    exit_code = record.fields.get("exit_code")
    if exit_code is not None and not isinstance(exit_code, int):
        exit_text = clean_words(str(exit_code))
        return ProcessEnd(line, rank, words, _EXIT_TEXT.format(exit_text), weak=True, text=exit_text)
    detail = clean_words(detail)
    if not (number := re.match(r"(-?\d+)\.?(?:\s*(?:For more|$)|$)", detail)):
        return ProcessEnd(line, rank, words, _EXIT_TEXT.format(detail), weak=True, text=detail)
    if number[1] in ("0", "100"):  # 0: success; 100: deferred
        return None
    if number[1].startswith("-"):
        return ProcessEnd(line, rank, words, _SIGNALLED.format(f"number {number[1][1:]}"), weak=False)
    return ProcessEnd(line, rank, words, _EXIT_CODE.format(number[1]), weak=True)


def clean_words(text: str) -> str:
    """Return a text that is safe to show, without links to further information."""
    return _LEARN_MORE.sub("", make_safe(text)).strip()
