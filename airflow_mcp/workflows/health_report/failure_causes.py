"""Failed task instances of many DAGs, grouped by what their logs say: the same error everywhere is one cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import look
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.task_logs import DecisiveError, cause_of_text
from airflow_mcp.workflows.shared.evidence import read_evidence
from airflow_mcp.workflows.shared.failed_tasks import to_read
from airflow_mcp.workflows.shared.findings import ago, count, some
from airflow_mcp.workflows.shared.paging import all_rows

_MOST_ROWS = 500  # failed task instances
_MOST_DAGS = 5  # DAGs asked for one by one, where their failures stand beyond these
MOST_LOGS = 20
_MOST_FREQUENT = 2
_MORE_OF_MANY = 4  # further logs of tasks that failed more than once: they may have failed differently
_EVERYWHERE = {"dag_id": "~", "dag_run_id": "~"}
Pair = tuple[str, str]  # (dag_id, task_id)


@dataclass(frozen=True)
class Failures:
    """Failed task instances of a window: `rows` were read, `total` there are."""

    rows: list[Json]
    total: int

    @property
    def pairs(self) -> dict[Pair, list[Json]]:
        """Rows by DAG and task, the latest failure first."""
        found: dict[Pair, list[Json]] = {}
        for row in sorted(self.rows, key=lambda row: str(row.get("end_date") or ""), reverse=True):
            found.setdefault((row["dag_id"], row["task_id"]), []).append(row)
        return found


async def read_failures(door: InnerDoor, since: str) -> Failures:
    """Failed task instances that ended since then: the latest 500 (2.x: 500 in its own order); 1 to 5 requests."""
    asked: dict[str, Any] = {**_EVERYWHERE, "state": ["failed"], "end_date_gte": since}
    if door.version.generation == "v2":
        asked["order_by"] = "-end_date"
    return Failures(*await all_rows(door, "list_task_instances", _MOST_ROWS, **asked))


async def add_missing_dags(door: InnerDoor, failures: Failures, dag_ids: Iterable[str], since: str) -> Failures:
    """With failures of DAGs whose runs failed but whose task instances stand beyond what was read; 0 to 5 requests."""
    if failures.total <= len(failures.rows):
        return failures
    known = {row["dag_id"] for row in failures.rows}
    missing = [dag_id for dag_id in dict.fromkeys(dag_ids) if dag_id not in known][:_MOST_DAGS]
    asked = {"dag_run_id": "~", "state": ["failed"], "end_date_gte": since, "limit": 5}
    seen = await look(**{dag_id: door.rows("list_task_instances", dag_id=dag_id, **asked) for dag_id in missing})
    return Failures(failures.rows + [row for rows, _ in seen.values.values() for row in rows], failures.total)


async def causes_of(door: InnerDoor, failures: Failures, now: datetime) -> tuple[list[Json], list[Pair]]:
    """What the logs of 20 task instances say, most widespread first; and the tasks that were not looked at.

    One of each task that failed, those that failed most often and then the latest first; then more of those with many.
    """
    pairs = failures.pairs
    often = sorted((pair for pair in pairs if len(pairs[pair]) > 1), key=lambda pair: -len(pairs[pair]))
    looked = list(dict.fromkeys([*often[:_MOST_FREQUENT], *pairs]))[:MOST_LOGS]
    most = min(MOST_LOGS, len(looked) + _MORE_OF_MANY * len(often))
    rows = to_read([pairs[pair] for pair in looked], most)
    seen = await look(**{str(number): _evidence(door, row) for number, row in enumerate(rows)})
    groups: dict[str, tuple[str, list[Json]]] = {}
    for number, row in enumerate(rows):
        evidence: DecisiveError | None = seen.get(str(number))
        what = evidence.what if evidence else f"Its log could not be read: {seen.unseen[str(number)]}"
        groups.setdefault(evidence.key if evidence else what, (what, []))[1].append(row)
    read = Counter((row["dag_id"], row["task_id"]) for row in rows)
    unread = {pair: len(pairs[pair]) - read[pair] for pair in looked}
    causes = [_cause(group, what, unread, now) for what, group in groups.values()]
    causes.sort(key=lambda cause: (-len(cause["where"]), -cause["task_instances"]))
    return causes, [pair for pair in pairs if pair not in looked]


async def _evidence(door: InnerDoor, row: Json) -> DecisiveError:
    return await read_evidence(door, {**ids_of(row), "try_number": row.get("try_number") or 0}, size=300)


def ids_of(row: Json) -> Json:
    """The arguments that name a task instance."""
    named = ("dag_id", "dag_run_id", "task_id", "map_index")
    return {name: row[name] for name in named if row.get(name) is not None}


def _cause(rows: list[Json], what: str, unread: dict[Pair, int], now: datetime) -> Json:
    """One error: the task instances whose log has it, and how many more of their tasks failed for a reason not read."""
    latest = max(rows, key=lambda row: str(row.get("end_date") or ""))
    tasks = Counter((row["dag_id"], row["task_id"]) for row in rows)
    more = [f"{unread[pair]} of {'.'.join(pair)}" for pair in tasks if unread[pair]]
    return {
        "what": what,
        "task_instances": len(rows),
        "where": [".".join(pair) + times(number) for pair, number in tasks.items()],
        **({"failed_too_but_not_read": ", ".join(more)} if more else {}),
        "latest": ago(latest.get("end_date"), now),
        "next": [
            next_call("diagnose_dag_run", "tells of its run", dag_id=latest["dag_id"], dag_run_id=latest["dag_run_id"])
        ],
    }


def times(number: int) -> str:
    """ " x3", or nothing for one."""
    return f" x{number}" if number > 1 else ""


def grouped_texts(rows: list[Json], text: str, name: str, most: int = 3) -> list[Json]:
    """Rows that hold an error's text, by its signature, in the order of their first: what, how many, of which names."""
    groups: dict[str, list[Json]] = {}
    for row in rows:
        groups.setdefault(cause_of_text(str(row.get(text) or "")).key, []).append(row)
    return [
        {
            "what": cause_of_text(str(group[0].get(text) or "")).line(),
            "count": len(group),
            "where": some((str(row.get(name)) for row in group), most),
            "first": group[0],
        }
        for group in groups.values()
    ]


def runs_told(runs: list[Json], total: int) -> str:
    """ "17 runs of 15 DAGs failed: a x3, b, ..."; of the latest that were read, where there are more."""
    if not total:
        return "no run failed"
    counts = Counter(run["dag_id"] for run in runs)
    told = some((f"{dag_id}{times(number)}" for dag_id, number in counts.most_common()), 8)
    latest = "" if total <= len(runs) else f" (of the latest {len(runs)})"
    return f"{count(total, 'run')} failed, of {count(len(counts), 'DAG')}{latest}: {told}"
