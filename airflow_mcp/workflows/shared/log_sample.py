"""Choose which logs of a run's failed task instances to read, in rounds, and estimate what the rest may hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import run_concurrently
from airflow_mcp.dispatch.request_limits import MOST_AT_ONCE
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, AnswerLimitError
from airflow_mcp.task_logs import DecisiveError
from airflow_mcp.workflows.shared.evidence import ExecutorEvents, read_evidence
from airflow_mcp.workflows.shared.failed_tasks import ErrorGroup, name_instances, order_reads

EXCERPT = 1_200  # characters of the first error's excerpt; the others share the rest
_MOST_LOGS = 24
_REQUESTS = 12  # for the whole answer, where logs bring no new cause
_MOST_TRIES = 2  # earlier tries of the first cause, which are read after these logs
_SIBLINGS = 2  # requests that count the instances of a mapped task
_NAMES = 160  # characters of a task instance's name
_ENOUGH = 8  # logs without a new cause, where there are several: a cause of a third is met by then (96 %)
_CHANCE = 0.05  # probability that a cause of the stated share was not met


@dataclass
class LogSample:
    """The task instances whose logs were read, and their groups by error in graph order."""

    groups: list[ErrorGroup] = field(default_factory=list[ErrorGroup])
    read: list[Json] = field(default_factory=list[Json])
    repeats: int = 0  # logs read since the last that brought a new cause

    def describe_doubt(self) -> str:
        """Describe how frequent a cause may be that no read log has: with 95 % confidence, for a random sample."""
        if not self.repeats:
            return "so they may hold other errors"
        share = math.ceil(100 * (1 - _CHANCE ** (1 / self.repeats)))
        last = "the last log read" if self.repeats == 1 else f"the last {self.repeats} logs read"
        return f"so they may hold other errors: {last} brought no new one, so most likely (95 %) in under {share} %"


Outcome = tuple[Json, DecisiveError | AirflowMcpError]


async def read_sample(
    context: WorkflowContext, ids: Json, tasks: list[list[Json]], linked_row: Json | None, events: ExecutorEvents
) -> LogSample:
    """Read a log of each task, then more of tasks with several failed instances.

    Stays within 12 requests for the whole answer, and goes beyond them only after a round that brought a new cause, or
    until eight logs in a row bring none where there are several; at most 24 logs. `linked_row` is always read.
    """
    first_rows = [linked_row] if linked_row else []
    first_rows += [rows[0] for rows in tasks if not linked_row or linked_row["task_id"] != rows[0]["task_id"]]
    further_rows = _interleave([[row for row in order_reads(rows) if row not in first_rows] for rows in tasks])
    tries = max((row.get("try_number") or 1 for row in first_rows[:1]), default=1)
    sibling_requests = _SIBLINGS if any(row.get("map_index") is not None for rows in tasks for row in rows) else 0
    request_budget = _REQUESTS - min(tries - 1, _MOST_TRIES) - sibling_requests
    outcomes: list[Outcome] = []
    known_keys: set[str] = set()
    sample = LogSample()
    for queue in (iter(first_rows), further_rows):
        brings_new_key = True
        while len(outcomes) < _MOST_LOGS:
            has_died = isinstance(outcomes[0][1], DecisiveError) and outcomes[0][1].died if outcomes else False
            # The run's events are read too where its first task instance died.
            remaining_requests = request_budget - context.requests - (1 if has_died else 0)
            if remaining_requests <= 0 and not brings_new_key and (len(known_keys) < 2 or sample.repeats >= _ENOUGH):
                break
            extra_size = _ENOUGH - sample.repeats if len(known_keys) > 1 and sample.repeats < _ENOUGH else MOST_AT_ONCE
            size = min(
                MOST_AT_ONCE, _MOST_LOGS - len(outcomes), remaining_requests if remaining_requests > 0 else extra_size
            )
            rows = [row for row, _ in zip(queue, range(size), strict=False)]
            batch = await _read(context, ids, rows, events)
            if not batch:
                break
            outcomes += batch
            brings_new_key = False
            for key in (_make_key(outcome) for _, outcome in batch):
                sample.repeats = sample.repeats + 1 if key in known_keys else 0
                brings_new_key = brings_new_key or key not in known_keys
                known_keys.add(key)
    sample.read = [row for row, _ in outcomes]
    sample.groups = _group(outcomes, tasks)
    return sample


def _interleave(tasks: list[list[Json]]) -> Iterator[Json]:
    """Yield one row of each task in turn."""
    for number in range(max(map(len, tasks), default=0)):
        yield from (rows[number] for rows in tasks if number < len(rows))


async def _read(context: WorkflowContext, ids: Json, rows: list[Json], events: ExecutorEvents) -> list[Outcome]:
    """Return the error of each row, or why its log cannot be read; omit those that came after the answer's deadline."""

    async def read(row: Json) -> DecisiveError | AirflowMcpError:
        try:
            return await read_evidence(context, ids | identify_try(row), size=EXCERPT, events=events)
        except AirflowMcpError as error:
            return error

    outcomes = await run_concurrently(read(row) for row in rows)
    read_rows = zip(rows, outcomes, strict=True)
    return [(row, outcome) for row, outcome in read_rows if not isinstance(outcome, AnswerLimitError)]


def _make_key(outcome: DecisiveError | AirflowMcpError) -> str:
    return outcome.key if isinstance(outcome, DecisiveError) else str(outcome)


def _group(outcomes: list[Outcome], tasks: list[list[Json]]) -> list[ErrorGroup]:
    positions = {id(row): position for position, row in enumerate(row for rows in tasks for row in rows)}
    groups: dict[str, ErrorGroup] = {}
    for row, outcome in sorted(outcomes, key=lambda pair: positions[id(pair[0])]):
        if isinstance(outcome, DecisiveError):
            group = groups.setdefault(outcome.key, ErrorGroup(outcome.what, outcome.excerpt, outcome.died))
            group.lines.append(outcome.what)
            group.source = group.source or _describe_log(row, outcome)
        else:
            sentence = f"Its log could not be read: {outcome}"
            group = groups.setdefault(str(outcome), ErrorGroup(sentence, "", died=False))
        group.instances.append(row)
    return list(groups.values())


def _describe_log(row: Json, error: DecisiveError) -> str:
    """Describe the log that a group's error is from: "log of load[3], try 2: 44 lines, 0 printed by the task"."""
    title = f"log of {name_instances([row], _NAMES)}, try {row.get('try_number') or 0}"
    return f"{title}: {error.lines} lines, {error.printed} printed by the task"


def identify_try(row: Json, try_number: int | None = None) -> Json:
    """Return the arguments that name a row's try within its run."""
    index = {} if row.get("map_index") is None else {"map_index": row["map_index"]}
    return {"task_id": row["task_id"], "try_number": try_number or row.get("try_number") or 0, **index}
