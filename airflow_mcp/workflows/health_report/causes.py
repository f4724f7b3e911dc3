"""Failures of many DAGs by their cause: which logs to read, what is the same in them, and which are one outage.

The latest failures come first, one log of each distinct DAG, task and words of the executor. What requests are then
left go to further logs of tasks that failed more than once, since they may have failed differently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.gather import together
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.errors import AirflowMcpError, AnswerLimitError
from airflow_mcp.task_logs import DecisiveError, differences
from airflow_mcp.task_logs.process_end import NO_HEARTBEAT
from airflow_mcp.text import shorten
from airflow_mcp.workflows.health_report.failure_causes import ended, ids_of, run_of, times
from airflow_mcp.workflows.shared.evidence import ExecutorEvents, read_evidence
from airflow_mcp.workflows.shared.failed_tasks import spread_order
from airflow_mcp.workflows.shared.findings import ago, count, moment, some

_MORE_OF_ONE = 4  # further logs of a task that failed more than once
_EXCERPT = 300  # characters
_WHOLE, _SHORT = 300, 120  # characters of a cause's line; and where many would not fit else
_WHERE = 6  # tasks named for a cause
_GAP = timedelta(minutes=15)  # between failures of one outage


@dataclass
class TaskFailures:
    """Failed task instances of one task for which the executor has the same words, the latest first."""

    words: str
    rows: list[Json] = field(default_factory=list[Json])
    read: list[tuple[Json, DecisiveError | AirflowMcpError]] = field(
        default_factory=list[tuple[Json, DecisiveError | AirflowMcpError]]
    )

    @property
    def unread(self) -> list[Json]:
        """Those whose log was not read."""
        return [row for row in self.rows if all(row is not known for known, _ in self.read)]


@dataclass
class Cause:
    """One cause: `rows` whose logs say so, and `assumed`, of the same tasks, whose logs were not read."""

    texts: list[str]
    rows: list[Json]
    assumed: list[Json] = field(default_factory=list[Json])
    unread: Counter[str] = field(default_factory=Counter[str])  # failures by task whose logs may say something else
    is_outage: bool = False

    @property
    def latest(self) -> Json:
        """The latest of all."""
        return max([*self.rows, *self.assumed], key=ended)

    def told(self, now: datetime, size: int) -> Json:
        """The cause as a part of an answer; `size` is of its line, characters."""
        every = [*self.rows, *self.assumed]
        tasks = Counter(f"{row['dag_id']}.{row['task_id']}" for row in self.rows)
        where = [name + times(number) for name, number in tasks.items()]
        differ = "" if self.is_outage else differences(self.texts)
        more = ", ".join(f"{number} of {name}" for name, number in self.unread.items())
        run = {"dag_id": self.latest["dag_id"], "dag_run_id": self.latest["dag_run_id"]}
        return {
            "what": shorten(self._line(), size),
            **({"differ_in": differ} if differ else {}),
            "runs": len({run_of(row) for row in every}),
            "dags": len({row["dag_id"] for row in every}),
            "task_instances": len(self.rows),
            "where": [*where[:_WHERE], *([f"and {len(where) - _WHERE} more"] if len(where) > _WHERE else [])],
            **({"failed_too_but_not_read": more} if more else {}),
            "latest": ago(self.latest.get("end_date"), now),
            "next": [next_call("diagnose_dag_run", "tells of its run", **run)],
        }

    def _line(self) -> str:
        if not self.is_outage:
            return self.texts[0]
        kinds = Counter(self.texts)
        first, last = min(map(ended, self.rows)), max(map(ended, self.rows))
        said = " ".join(text if len(kinds) == 1 else f"({number}) {text}" for text, number in kinds.most_common())
        lost = count(len(self.rows), "task instance")
        return f"Airflow lost {lost} between {first[:19]} and {last[:19]}, so most likely one outage: {said}"


@dataclass(frozen=True)
class Reading:
    """What the logs say, the latest cause first, and the tasks of which no log was read."""

    causes: list[Cause]
    unread: list[TaskFailures]


async def read_causes(door: InnerDoor, failures: list[Json], events: ExecutorEvents) -> Reading:
    """Read logs, at most as many as the answer has requests left, and group what they say."""
    tasks = await _by_task(failures, events)
    await _read(door, [(task, task.rows[0]) for task in tasks[: _left(door)]], events)
    for _ in range(_MORE_OF_ONE):  # a round for all of them at a time, so that no task takes every request
        spread = [(task, row) for task in tasks if task.read for row in _next_of(task)]
        await _read(door, spread[: _left(door)], events)
    return Reading(_group([task for task in tasks if task.read]), [task for task in tasks if not task.read])


def _left(door: InnerDoor) -> int:
    return int(min(door.requests_left, 1_000))


def _next_of(task: TaskFailures) -> list[Json]:
    """One more row of a task, spread over its map indexes and runs."""
    read = {id(row) for row, _ in task.read}
    return [row for row in spread_order(task.rows) if id(row) not in read][:1]


async def _by_task(rows: list[Json], events: ExecutorEvents) -> list[TaskFailures]:
    tasks: dict[tuple[str, str, str], TaskFailures] = {}
    for row in rows:
        words = await events.sentence(row)
        key = (row["dag_id"], row["task_id"], words)
        tasks.setdefault(key, TaskFailures(words)).rows.append(row)
    return list(tasks.values())


async def _read(door: InnerDoor, chosen: list[tuple[TaskFailures, Json]], events: ExecutorEvents) -> None:
    async def read(row: Json) -> DecisiveError | AirflowMcpError:
        try:
            ids = {**ids_of(row), "try_number": row.get("try_number") or 0}
            return await read_evidence(door, ids, size=_EXCERPT, events=events)
        except AirflowMcpError as error:
            return error

    outcomes = await together(read(row) for _, row in chosen)
    for (task, row), outcome in zip(chosen, outcomes, strict=True):
        if not isinstance(outcome, AnswerLimitError):
            task.read.append((row, outcome))


def _group(tasks: list[TaskFailures]) -> list[Cause]:
    causes: dict[str, Cause] = {}
    lost: list[tuple[Json, str]] = []
    keys: list[tuple[TaskFailures, set[str]]] = []
    for task in tasks:
        keys_of_task: set[str] = set()
        for row, outcome in task.read:
            unreadable = isinstance(outcome, AirflowMcpError)
            text = f"Its log could not be read: {outcome}" if unreadable else outcome.what
            if not unreadable and outcome.died and (task.words or outcome.what.startswith(NO_HEARTBEAT)):
                lost.append((row, text))
                continue
            key = text if unreadable else outcome.key
            keys_of_task.add(key)
            cause = causes.setdefault(key, Cause([], []))
            cause.texts.append(text)
            cause.rows.append(row)
        keys.append((task, keys_of_task))
    outages = list(_outages(lost))
    by_row = {id(row): cause for cause in outages for row in cause.rows}
    for task, keys_of_task in keys:
        found = [causes[key] for key in keys_of_task]
        found += {id(one): one for row, _ in task.read if (one := by_row.get(id(row)))}.values()
        _assign_unread(task, found)
    return sorted([*causes.values(), *outages], key=lambda cause: ended(cause.latest), reverse=True)


def _assign_unread(task: TaskFailures, causes: list[Cause]) -> None:
    """Count a task's failures that were not read: with its cause where all that were read have one alone."""
    if unread := task.unread:
        name = f"{task.rows[0]['dag_id']}.{task.rows[0]['task_id']}"
        for cause in causes:
            cause.unread[name] += len(unread)
        if len(causes) == 1:
            causes[0].assumed += unread


def _outages(lost: list[tuple[Json, str]]) -> Iterable[Cause]:
    """Task instances that Airflow itself lost: those of several DAGs within minutes of each other are one outage."""
    ordered = sorted(lost, key=lambda pair: ended(pair[0]))
    groups = [ordered[:1]] if ordered else []
    for (earlier, _), pair in pairwise(ordered):
        before, after = moment(earlier.get("end_date")), moment(pair[0].get("end_date"))
        if before and after and after - before <= _GAP:
            groups[-1].append(pair)
        else:
            groups.append([pair])
    for group in groups:
        if len({row["dag_id"] for row, _ in group}) > 1:
            yield Cause([text for _, text in group], [row for row, _ in group], is_outage=True)
            continue
        for text in dict.fromkeys(text for _, text in group):
            rows = [row for row, other in group if other == text]
            yield Cause([text] * len(rows), rows)


def fit_causes(causes: list[Cause], now: datetime, room: int) -> tuple[list[Json], list[Cause]]:
    """The causes in at most `room` characters, one at least, and those that no room is left for."""
    whole = [cause.told(now, _WHOLE) for cause in causes]
    if len(dumps(whole)) <= room:
        return whole, []
    kept: list[Json] = []
    for cause in causes:
        kept.append(cause.told(now, _SHORT))
        if len(dumps(kept)) > room and len(kept) > 1:
            kept.pop()
            break
    return kept, causes[len(kept) :]


def tell_unread(tasks: list[TaskFailures]) -> str:
    """ "logs of 3 more failed tasks, in 4 runs: a.load, b.send, c.load"."""
    runs = {run_of(row) for task in tasks for row in task.rows}
    names = some((f"{task.rows[0]['dag_id']}.{task.rows[0]['task_id']}" for task in tasks), 6)
    return f"logs of {count(len(tasks), 'more failed task')}, in {count(len(runs), 'run')}: {names}"
