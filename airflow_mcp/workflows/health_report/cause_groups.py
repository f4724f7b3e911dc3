"""Group the failures of many DAGs by cause: choose which logs to read, match their errors, and find common outages.

The latest failures come first, one log of each distinct DAG, task and message of the executor. The requests that remain
go to further logs of tasks that failed more than once, since these may have failed differently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.gather import run_concurrently
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, AnswerLimitError
from airflow_mcp.task_logs import DecisiveError, describe_differences
from airflow_mcp.task_logs.process_end import NO_HEARTBEAT
from airflow_mcp.text import shorten
from airflow_mcp.workflows.health_report.failed_runs import format_times, identify_instance, identify_run, read_end
from airflow_mcp.workflows.shared.evidence import ExecutorEvents, read_evidence
from airflow_mcp.workflows.shared.failed_tasks import order_reads
from airflow_mcp.workflows.shared.findings import first_names, format_age, format_count, parse_time

_MORE_OF_ONE = 4  # further logs of a task that failed more than once
_EXCERPT = 300  # characters
_LINE_SIZE, _SHORT_LINE_SIZE = 300, 120  # characters of a cause's line; the short one where many would not fit
_WHERE = 6  # tasks named for a cause
_GAP = timedelta(minutes=15)  # between failures of one outage


@dataclass
class TaskFailures:
    """Failed task instances of one task with the same message of the executor, the latest first."""

    words: str
    rows: list[Json] = field(default_factory=list[Json])
    read: list[tuple[Json, DecisiveError | AirflowMcpError]] = field(
        default_factory=list[tuple[Json, DecisiveError | AirflowMcpError]]
    )

    @property
    def unread(self) -> list[Json]:
        """The rows whose log was not read."""
        return [row for row in self.rows if all(row is not known for known, _ in self.read)]


@dataclass
class CauseGroup:
    """One cause: the `rows` whose logs state it, and `assumed`, rows of the same tasks whose logs were not read."""

    texts: list[str]
    rows: list[Json]
    assumed: list[Json] = field(default_factory=list[Json])
    unread: Counter[str] = field(default_factory=Counter[str])  # failures by task whose logs may say something else
    is_outage: bool = False

    @property
    def latest(self) -> Json:
        """The failure that ended last."""
        return max([*self.rows, *self.assumed], key=read_end)

    def describe(self, now: datetime, size: int) -> Json:
        """Describe the cause as a part of an answer; its line has at most `size` characters."""
        all_rows = [*self.rows, *self.assumed]
        tasks = Counter(f"{row['dag_id']}.{row['task_id']}" for row in self.rows)
        task_names = [name + format_times(number) for name, number in tasks.items()]
        differences = "" if self.is_outage else describe_differences(self.texts)
        unread_counts = ", ".join(f"{number} of {name}" for name, number in self.unread.items())
        run = {"dag_id": self.latest["dag_id"], "dag_run_id": self.latest["dag_run_id"]}
        return {
            "what": shorten(self._write_line(), size),
            **({"differ_in": differences} if differences else {}),
            "runs": len({identify_run(row) for row in all_rows}),
            "dags": len({row["dag_id"] for row in all_rows}),
            "task_instances": len(self.rows),
            "where": [
                *task_names[:_WHERE],
                *([f"and {len(task_names) - _WHERE} more"] if len(task_names) > _WHERE else []),
            ],
            **({"failed_too_but_not_read": unread_counts} if unread_counts else {}),
            "latest": format_age(self.latest.get("end_date"), now),
            "next": [next_call("diagnose_dag_run", "tells of its run", **run)],
        }

    def _write_line(self) -> str:
        if not self.is_outage:
            return self.texts[0]
        kinds = Counter(self.texts)
        first, last = min(map(read_end, self.rows)), max(map(read_end, self.rows))
        summary = " ".join(text if len(kinds) == 1 else f"({number}) {text}" for text, number in kinds.most_common())
        lost_count = format_count(len(self.rows), "task instance")
        return f"Airflow lost {lost_count} between {first[:19]} and {last[:19]}, so most likely one outage: {summary}"


@dataclass(frozen=True)
class CauseReport:
    """The causes that the logs state, the latest first, and the tasks of which no log was read."""

    causes: list[CauseGroup]
    unread: list[TaskFailures]


async def read_causes(context: WorkflowContext, failures: list[Json], events: ExecutorEvents) -> CauseReport:
    """Read at most as many logs as the answer has requests left, and group the failures by cause."""
    tasks = await _group_by_task(failures, events)
    await _read(context, [(task, task.rows[0]) for task in tasks[: _count_remaining(context)]], events)
    for _ in range(_MORE_OF_ONE):  # one log of each task per round, so that no task takes every request
        reads = [(task, row) for task in tasks if task.read for row in _choose_next(task)]
        await _read(context, reads[: _count_remaining(context)], events)
    return CauseReport(_group([task for task in tasks if task.read]), [task for task in tasks if not task.read])


def _count_remaining(context: WorkflowContext) -> int:
    return int(min(context.remaining_requests, 1_000))


def _choose_next(task: TaskFailures) -> list[Json]:
    """Choose one more row of a task, spread over its map indexes and runs."""
    read_ids = {id(row) for row, _ in task.read}
    return [row for row in order_reads(task.rows) if id(row) not in read_ids][:1]


async def _group_by_task(rows: list[Json], events: ExecutorEvents) -> list[TaskFailures]:
    tasks: dict[tuple[str, str, str], TaskFailures] = {}
    for row in rows:
        words = await events.explain(row)
        key = (row["dag_id"], row["task_id"], words)
        tasks.setdefault(key, TaskFailures(words)).rows.append(row)
    return list(tasks.values())


async def _read(context: WorkflowContext, chosen: list[tuple[TaskFailures, Json]], events: ExecutorEvents) -> None:
    async def read(row: Json) -> DecisiveError | AirflowMcpError:
        try:
            ids = {**identify_instance(row), "try_number": row.get("try_number") or 0}
            return await read_evidence(context, ids, size=_EXCERPT, events=events)
        except AirflowMcpError as error:
            return error

    outcomes = await run_concurrently(read(row) for _, row in chosen)
    for (task, row), outcome in zip(chosen, outcomes, strict=True):
        if not isinstance(outcome, AnswerLimitError):
            task.read.append((row, outcome))


def _group(tasks: list[TaskFailures]) -> list[CauseGroup]:
    causes: dict[str, CauseGroup] = {}
    lost_rows: list[tuple[Json, str]] = []
    keys_by_task: list[tuple[TaskFailures, set[str]]] = []
    for task in tasks:
        keys_of_task: set[str] = set()
        for row, outcome in task.read:
            is_unreadable = isinstance(outcome, AirflowMcpError)
            text = f"Its log could not be read: {outcome}" if is_unreadable else outcome.what
            if not is_unreadable and outcome.died and (task.words or outcome.what.startswith(NO_HEARTBEAT)):
                lost_rows.append((row, text))
                continue
            key = text if is_unreadable else outcome.key
            keys_of_task.add(key)
            cause = causes.setdefault(key, CauseGroup([], []))
            cause.texts.append(text)
            cause.rows.append(row)
        keys_by_task.append((task, keys_of_task))
    outages = list(_find_outages(lost_rows))
    cause_by_row = {id(row): cause for cause in outages for row in cause.rows}
    for task, keys_of_task in keys_by_task:
        task_causes = [causes[key] for key in keys_of_task]
        task_causes += {id(outage): outage for row, _ in task.read if (outage := cause_by_row.get(id(row)))}.values()
        _assign_unread(task, task_causes)
    return sorted([*causes.values(), *outages], key=lambda cause: read_end(cause.latest), reverse=True)


def _assign_unread(task: TaskFailures, causes: list[CauseGroup]) -> None:
    """Count a task's unread failures with its causes; assume the cause for them where its read logs have one alone."""
    if unread_rows := task.unread:
        name = f"{task.rows[0]['dag_id']}.{task.rows[0]['task_id']}"
        for cause in causes:
            cause.unread[name] += len(unread_rows)
        if len(causes) == 1:
            causes[0].assumed += unread_rows


def _find_outages(lost_rows: list[tuple[Json, str]]) -> Iterable[CauseGroup]:
    """Group the task instances that Airflow itself lost.

    Those of several DAGs are one outage when each failed within 15 minutes of the one before.
    """
    ordered_rows = sorted(lost_rows, key=lambda pair: read_end(pair[0]))
    groups = [ordered_rows[:1]] if ordered_rows else []
    for (earlier, _), pair in pairwise(ordered_rows):
        before, after = parse_time(earlier.get("end_date")), parse_time(pair[0].get("end_date"))
        if before and after and after - before <= _GAP:
            groups[-1].append(pair)
        else:
            groups.append([pair])
    for group in groups:
        if len({row["dag_id"] for row, _ in group}) > 1:
            yield CauseGroup([text for _, text in group], [row for row, _ in group], is_outage=True)
            continue
        for text in dict.fromkeys(text for _, text in group):
            rows = [row for row, row_text in group if row_text == text]
            yield CauseGroup([text] * len(rows), rows)


def fit_causes(causes: list[CauseGroup], now: datetime, budget: int) -> tuple[list[Json], list[CauseGroup]]:
    """Describe the causes in at most `budget` characters, one at least; return with them the causes that do not fit."""
    descriptions = [cause.describe(now, _LINE_SIZE) for cause in causes]
    if len(dumps(descriptions)) <= budget:
        return descriptions, []
    short_descriptions: list[Json] = []
    for cause in causes:
        short_descriptions.append(cause.describe(now, _SHORT_LINE_SIZE))
        if len(dumps(short_descriptions)) > budget and len(short_descriptions) > 1:
            short_descriptions.pop()
            break
    return short_descriptions, causes[len(short_descriptions) :]


def describe_unread(tasks: list[TaskFailures]) -> str:
    """Name the tasks without a read log, those that failed most first.

    "logs of 3 more failed tasks, in 4 runs: a.load x2, b.send, c.load".
    """
    runs = {identify_run(row) for task in tasks for row in task.rows}
    ordered = sorted(tasks, key=lambda task: len(task.rows), reverse=True)
    ids = ((task.rows[0], len(task.rows)) for task in ordered)
    names = first_names((f"{row['dag_id']}.{row['task_id']}{format_times(number)}" for row, number in ids), 6)
    return f"logs of {format_count(len(tasks), 'more failed task')}, in {format_count(len(runs), 'run')}: {names}"
