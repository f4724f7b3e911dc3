"""Which logs of a run's failed task instances are read, in rounds, and what the rest may still hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import together
from airflow_mcp.dispatch.request_limits import MOST_AT_ONCE
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.errors import AirflowMcpError, AnswerLimitError
from airflow_mcp.task_logs import DecisiveError
from airflow_mcp.workflows.shared.evidence import ExecutorEvents, read_evidence
from airflow_mcp.workflows.shared.failed_tasks import Alike, names, spread_order

EXCERPT = 1_200  # characters of the first error's excerpt; the others share what is left
_MOST_LOGS = 24
_REQUESTS = 12  # of the whole answer, where logs bring no new cause
_MOST_TRIES = 2  # of the first cause, which are read after these
_SIBLINGS = 2  # requests that count the instances of a mapped task
_NAMES = 160  # characters of a task instance's name
_ENOUGH = 8  # logs without a new cause, where there are several: one that a third share is then met (96 %)
_CHANCE = 0.05  # that a cause as frequent as is said was not met


@dataclass
class Sample:
    """What was read: in graph order the groups of what failed alike."""

    groups: list[Alike] = field(default_factory=list[Alike])
    read: list[Json] = field(default_factory=list[Json])
    repeats: int = 0  # logs read since the last that brought a new cause

    def doubt(self) -> str:
        """Say how frequent a cause may be that no log has shown: with 95 % confidence, for a random sample."""
        if not self.repeats:
            return "so they may hold other errors"
        share = math.ceil(100 * (1 - _CHANCE ** (1 / self.repeats)))
        last = "the last log read" if self.repeats == 1 else f"the last {self.repeats} logs read"
        return f"so they may hold other errors: {last} brought no new one, so most likely (95 %) in under {share} %"


Outcome = tuple[Json, DecisiveError | AirflowMcpError]


async def read_sample(
    door: InnerDoor, ids: Json, tasks: list[list[Json]], linked: Json | None, events: ExecutorEvents
) -> Sample:
    """Read a log of each task, then more of tasks with several failed instances.

    Within 12 requests for the whole answer, and beyond them only after a round that brought a new cause, or until
    eight logs in a row bring none where there are several; at most 24 logs. `linked` is read whatever else is.
    """
    first = [linked] if linked else []
    first += [rows[0] for rows in tasks if not linked or linked["task_id"] != rows[0]["task_id"]]
    more = _alternate([[row for row in spread_order(rows) if row not in first] for rows in tasks])
    tries = max((row.get("try_number") or 1 for row in first[:1]), default=1)
    mapped = _SIBLINGS if any(row.get("map_index") is not None for rows in tasks for row in rows) else 0
    most = _REQUESTS - min(tries - 1, _MOST_TRIES) - mapped
    outcomes: list[Outcome] = []
    known: set[str] = set()
    sample = Sample()
    for waiting in (iter(first), more):
        brings = True
        while len(outcomes) < _MOST_LOGS:
            died = isinstance(outcomes[0][1], DecisiveError) and outcomes[0][1].died if outcomes else False
            left = most - door.requests - (1 if died else 0)  # the run's events are asked for then
            if left <= 0 and not brings and (len(known) < 2 or sample.repeats >= _ENOUGH):
                break
            beyond = _ENOUGH - sample.repeats if len(known) > 1 and sample.repeats < _ENOUGH else MOST_AT_ONCE
            size = min(MOST_AT_ONCE, _MOST_LOGS - len(outcomes), left if left > 0 else beyond)
            rows = [row for row, _ in zip(waiting, range(size), strict=False)]
            read = await _read(door, ids, rows, events)
            if not read:
                break
            outcomes += read
            brings = False
            for key in (_key(outcome) for _, outcome in read):
                sample.repeats = sample.repeats + 1 if key in known else 0
                brings = brings or key not in known
                known.add(key)
    sample.read = [row for row, _ in outcomes]
    sample.groups = _group(outcomes, tasks)
    return sample


def _alternate(tasks: list[list[Json]]) -> Iterator[Json]:
    """One row of each task in turn."""
    for number in range(max(map(len, tasks), default=0)):
        yield from (rows[number] for rows in tasks if number < len(rows))


async def _read(door: InnerDoor, ids: Json, rows: list[Json], events: ExecutorEvents) -> list[Outcome]:
    """The error of each, or why its log cannot be read; without those that came after the answer's deadline."""

    async def read(row: Json) -> DecisiveError | AirflowMcpError:
        try:
            return await read_evidence(door, ids | arguments_of(row), size=EXCERPT, events=events)
        except AirflowMcpError as error:
            return error

    outcomes = await together(read(row) for row in rows)
    read_rows = zip(rows, outcomes, strict=True)
    return [(row, outcome) for row, outcome in read_rows if not isinstance(outcome, AnswerLimitError)]


def _key(outcome: DecisiveError | AirflowMcpError) -> str:
    return outcome.key if isinstance(outcome, DecisiveError) else str(outcome)


def _group(outcomes: list[Outcome], tasks: list[list[Json]]) -> list[Alike]:
    places = {id(row): place for place, row in enumerate(row for rows in tasks for row in rows)}
    groups: dict[str, Alike] = {}
    for row, outcome in sorted(outcomes, key=lambda pair: places[id(pair[0])]):
        if isinstance(outcome, DecisiveError):
            group = groups.setdefault(outcome.key, Alike(outcome.what, outcome.excerpt, outcome.died))
            group.lines.append(outcome.what)
            group.looked_at = group.looked_at or _describe_log(row, outcome)
        else:
            said = f"Its log could not be read: {outcome}"
            group = groups.setdefault(str(outcome), Alike(said, "", died=False))
        group.instances.append(row)
    return list(groups.values())


def _describe_log(row: Json, error: DecisiveError) -> str:
    """What a group's first member was judged by: "log of load[3], try 2: 44 lines, 0 printed by the task"."""
    which = f"log of {names([row], _NAMES)}, try {row.get('try_number') or 0}"
    return f"{which}: {error.lines} lines, {error.printed} printed by the task"


def arguments_of(row: Json, try_number: int | None = None) -> Json:
    """The arguments that name a row's try within its run."""
    index = {} if row.get("map_index") is None else {"map_index": row["map_index"]}
    return {"task_id": row["task_id"], "try_number": try_number or row.get("try_number") or 0, **index}
