"""Read what a program printed, without the time, level and container that others put before its lines.

Only the last lines of a log are kept, in bounded memory, and of those before them the ones that look like an error.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import re2

from airflow_mcp.task_logs.records import ERROR, INFO, LEVELS, WARNING, LogRecord, make_safe
from airflow_mcp.task_logs.structured_lines import read_structured

_LINES = 1_500  # lines kept from the end of a log
_SIZE = 600_000  # characters of these
_LONGEST = 4_000  # characters of a line that are read, half of them from each end
_PLACE = 40  # lines kept from one that looks like an error on
_PLACES = 600  # such lines kept in all
_MARK = re2.compile(
    r"Traceback \(most recent|Exception|[Ee]rror|ERR!|panic|FATAL|[Ff]atal|ORA-\d|cannot|[Dd]enied|[Nn]ot found|Killed"
    r"|No such|Segmentation"
)
_ISO = r"\d{4}[-/]\d\d[-/]\d\d[T ,]{1,2}\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
_TIME = re.compile(
    rf"\[?(?:{_ISO}|\d\d/\d\d/\d\d \d\d:\d\d:\d\d|\d\d:\d\d:\d\d(?:[.,]\d+)?)\]?(?: - |: |[ \t,|]+|$)"
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:[\w.-]+ \w[\w.-]*(?:\[\d+\])?: )?"  # syslog
)
_KLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.-]+:\d+\] ")  # Kubernetes' own programs
_WORD = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|SEVERE|ALERT|EMERG"
_LEVEL = re.compile(
    rf"\[ *({_WORD}|error|warn|warning|info|fatal|debug) *\]:? *|({_WORD}) *(?:-|\|) +|({_WORD})(?:[ \t]+(?=\S)|$)"
)
_SPRING = re.compile(rf"({_WORD}) +\d+ --- (?:\[[^\]]*\] ?)+\S+ *: ")
_LEVEL_NAME = re.compile(rf"({_WORD})(?::| (?=\d))")  # the level is a part of what a tool says
_CLASS = re.compile(
    r"(?:[\w$.-]+\.)*[A-Z][\w$]*(?:\[[^\]]*\])?(?: \[[^\]]*\])?: (?=\S)"
)  # the logger, as log4j puts it
_LOGGER = re.compile(r"(?:(?:[a-z_]\w*\.)+\w+|__main__|root)(?::\d+)?(?: - | \| |: )")
_CONTAINER = re.compile(rf"\[(?!(?i:{_WORD}|error|x|!|\*)\])[a-z][\w.-]{{0,60}}\](?: |$)|[\w.-]{{1,60}} +\| ")
_GROUP = re.compile(r"::group::(Pre|Post|Log)|::endgroup::")  # what Airflow says around a task
# What Airflow and its operators write around a task: no output of any program. 2 and 3: taskinstance.py,
# task_runner.py, local_task_job_runner.py, hooks/subprocess.py, python.py
_AIRFLOW = re.compile(
    r"::(?:end)?group::|(?:Pre|Post) (?:task execution|Execute)|Running command: |Output:$|Command exited with return code"
    r"|Tmp dir root location|Done\. Returned value was|Marking task as |Immediate failure requested|Dependencies all met"
    r"|Starting attempt \d|Executing <|Started process \d|Running: \[|Job \d+: Subtask|Running <TaskInstance"
    r"|Exporting env vars|AIRFLOW_CTX_|Task instance is in|Current task name:|Previous state of|Dag name:|DAG bundles loaded"
    r"|Filling up the DagBag|Task exited with return code|\d+ downstream tasks scheduled|Changing .* pid|Task instance in"
    r"|Log message source details|Task instance .* state|Task failed with exception|Task finished|Pushing xcom"
    r"|Building pod |(?:Skipping d|D)eleting pod|Pod (?:\S+ has phase|not yet)|Waiting for container|Starting docker container"
    r"|Found local files|\*\*\* |Sending Signals|Process psutil|Use 'print' or|Stats instance was created"
)


@dataclass(slots=True)
class OutputLine:
    """One line as a program printed it, safe to show, its indentation left."""

    number: int  # in the log, from 1
    text: str
    level: int = INFO
    chain_text: str = ""  # exceptions that the record carries beside its message (Airflow 3)
    printed: bool = False  # by the task's code or a command it ran, and not logged
    headed: bool = False  # with a time or a level before it


class OutputWindow:
    """The last lines of a log, as they came; lines that look like an error are kept longer."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque()
        self._places: deque[tuple[int, str]] = deque(maxlen=_PLACES)
        self._size = 0
        self._due = 0  # lines behind a place that are still to be kept

    def add(self, number: int, line: str) -> None:
        """Add the next line."""
        if len(line) > _LONGEST and line[:1] != "{":
            line = f"{line[: _LONGEST // 2]}…{line[-_LONGEST // 2 :]}"
        self._lines.append((number, line))
        self._size += len(line)
        while len(self._lines) > _LINES or self._size > _SIZE:
            self._drop()

    def _drop(self) -> None:
        number, line = self._lines.popleft()
        self._size -= len(line)
        if _MARK.search(line):
            self._due = _PLACE
        if self._due:
            self._due -= 1
            self._places.append((number, line[:_LONGEST]))

    def take_all(self) -> list[tuple[int, str]]:
        """Return the kept lines, oldest first, and forget them."""
        lines = [*self._places, *self._lines]
        self._lines.clear()
        self._places.clear()
        self._size = self._due = 0
        return lines


def read_output(lines: Iterable[tuple[int, str]], read: Callable[[str], LogRecord]) -> Iterator[OutputLine]:
    """Yield what was printed, without Airflow's own lines; `read` makes a record of a line."""
    level, group, printed = INFO, "", False
    for number, line in lines:
        record = read(line)
        if not record.continues:
            level, printed = record.level, record.printed
        if (opened := _GROUP.search(record.message[:80])) is not None:
            group = opened[1] or ""
        if level == WARNING and not printed and record.continues:
            continue  # a traceback logged as a warning: the program went on after it
        if level < INFO or group in ("Pre", "Log") or (group == "Post" and not printed):
            continue
        chain = "\n".join(exception.text for exception in record.chain) if level >= ERROR else ""
        for text in record.message.split("\n"):
            stripped, text_level = strip_prefix(text)
            if _AIRFLOW.match(stripped):
                continue
            headed = len(stripped) < len(text.rstrip())
            for part in stripped.split("\n"):  # a structured line may hold a trace
                yield OutputLine(
                    number, part, text_level if printed else max(text_level, level), chain, printed, headed
                )
                chain = ""


def strip_prefix(text: str) -> tuple[str, int]:
    """Return a printed line without time, level and container before it, and its level; indentation stays."""
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")  # what a progress bar shows last
    text = make_safe(text[:_LONGEST]).rstrip()
    level, timed = INFO, False
    for _ in range(3):  # "[base] 2026-11-02 10:00:00 ERROR x", and a launcher's time before a program's own
        before = text
        if (match := _CONTAINER.match(text)) is not None:
            text = text[match.end() :]
        if (match := _TIME.match(text)) is not None:
            text, timed = text[match.end() :], True
        if klog := _KLOG.match(text):
            return text[klog.end() :], {"W": WARNING, "E": ERROR, "F": ERROR}.get(klog[1], INFO)
        if spring := _SPRING.match(text):
            return text[spring.end() :], LEVELS[spring[1].lower()]
        if level_name := _LEVEL_NAME.match(text):
            level = max(level, LEVELS.get(level_name[1].lower(), INFO))
            break
        if (match := _LEVEL.match(text)) is not None:
            rest = text[match.end() :]
            logger = _CLASS.match(rest) or _LOGGER.match(rest)
            if not (match[1] or match[2] or timed or logger or match[0].endswith("  ")):
                break
            level = max(level, LEVELS.get((match[1] or match[2] or match[3]).lower(), ERROR if not match[1] else INFO))
            text = rest[logger.end() :] if logger and not _is_type(logger[0]) else rest
        if text == before:
            break
    if (structured := read_structured(text)) is not None:
        return structured[0], max(level, structured[1])
    return text, level


def _is_type(name: str) -> bool:
    """Tell whether this is an exception's type rather than a logger's name."""
    return name.rstrip(": ").endswith(("Error", "Exception", "Failure", "Fault"))
