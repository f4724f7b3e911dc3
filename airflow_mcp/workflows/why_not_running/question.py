"""One question of what keeps a DAG, while its answer is collected."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import Seen, list_unseen, look
from airflow_mcp.dispatch.workflow_context import InnerDoor
from airflow_mcp.errors import AirflowMcpError, NotFoundError
from airflow_mcp.workflows.shared.components import Component
from airflow_mcp.workflows.shared.findings import Finding, ordered, verdict

_MOST_ALSO = 6  # findings shown beside the cause


@dataclass
class Question:
    """Who is asked about, what was found so far, and what could not be seen."""

    door: InnerDoor
    dag_id: str
    run_id: str | None
    task_id: str | None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    findings: list[Finding] = field(default_factory=list[Finding])
    checked: list[str] = field(default_factory=list[str])  # what was looked at and is well
    unseen: dict[str, str] = field(default_factory=dict[str, str])
    components: dict[str, Component] = field(default_factory=dict[str, Component])
    busy: int | None = None  # slots of all pools that running and queued task instances take; None: not read
    others: Finding | None = None  # what there is to say of runs that were not asked about

    @property
    def is_old(self) -> bool:
        """Whether this Airflow is a 2.x."""
        return self.door.version.generation == "v1"

    @property
    def is_blocked(self) -> bool:
        """Whether something was found that needs a hand."""
        return any(finding.kind == "blocks" for finding in self.findings)

    @property
    def one_at_a_time(self) -> Component | None:
        """The scheduler, where it runs a task itself and starts nothing else meanwhile."""
        scheduler = self.components.get("scheduler")
        return scheduler if scheduler and scheduler.work else None

    @property
    def is_explained(self) -> bool:
        """Whether something was found that needs a hand, or the scheduler has its hands full."""
        return self.is_blocked or self.one_at_a_time is not None

    async def look(self, /, **reads: Awaitable[Any]) -> Seen:
        """Read at once; what could not be read is told in the answer. "_" in a name is shown as a space."""
        seen = await look(**reads)
        self.unseen |= {name.replace("_", " "): sentence for name, sentence in seen.unseen.items()}
        return seen

    def is_over(self) -> None:
        """What was asked about has ended: whatever else was found does not keep it from running."""
        self.findings = [replace(finding, kind="note") for finding in self.findings]

    def told(self, run: Json | None) -> Json:
        """The answer: what most likely keeps it first."""
        told = " ".join(finding.what for finding in self.findings)
        for component in self.components.values():
            if not component.alive and component.words(self.now) not in told and component.title not in told:
                self.findings.append(component.finding(self.now, blocks=False))
        self.findings += [self.others] if self.others else []
        if self.door.hides:
            self.unseen["rows"] = "policy hides some from you, so what takes a limit may be among them."
        blind = Finding("note", "What keeps it cannot be told: see not_seen.")
        first, *others = ordered(self.findings) or [blind]
        return {
            "dag_id": self.dag_id,
            "dag_run_id": run["dag_run_id"] if run else self.run_id,
            "task_id": self.task_id,
            "state": run.get("state") if run else None,
            "verdict": verdict([first]),
            "cause": first.what,
            "evidence": first.evidence or None,
            "hint": first.hint or None,
            "next": [*first.calls] or None,
            "also": [finding.shown() for finding in others[:_MOST_ALSO]] or None,
            "checked": "; ".join(self.checked) or None,
            "not_seen": list_unseen(self.unseen) or None,
        }


async def none_if_missing(read: Awaitable[Any]) -> Any:
    """What was read, or None for a 404."""
    try:
        return await read
    except NotFoundError:
        return None


async def or_error(read: Awaitable[Any]) -> Any:
    """What was read, or the error itself, for a read without which there is no answer."""
    try:
        return await read
    except AirflowMcpError as error:
        return error
