"""One question of what keeps a DAG, while its answer is collected."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import ReadResults, gather, list_errors
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, NotFoundError
from airflow_mcp.workflows.shared.components import Component
from airflow_mcp.workflows.shared.findings import Finding, name_verdict, sort_findings

_MOST_ALSO = 6  # findings shown beside the cause


@dataclass
class Diagnosis:
    """Who is asked about, what was found so far, and what could not be seen."""

    context: WorkflowContext
    dag_id: str
    run_id: str | None
    task_id: str | None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    findings: list[Finding] = field(default_factory=list[Finding])
    checked: list[str] = field(default_factory=list[str])  # what was looked at and is well
    errors: dict[str, str] = field(default_factory=dict[str, str])
    components: dict[str, Component] = field(default_factory=dict[str, Component])
    busy: int | None = None  # slots of all pools that running and queued task instances take; None: not read
    other_runs: Finding | None = None  # what there is to say of runs that were not asked about

    @property
    def is_old(self) -> bool:
        """Whether this Airflow is a 2.x."""
        return self.context.version.generation == "v1"

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

    async def gather(self, /, **reads: Awaitable[Any]) -> ReadResults:
        """Read at once; what could not be read is told in the answer. "_" in a name is shown as a space."""
        seen = await gather(**reads)
        self.errors |= {name.replace("_", " "): sentence for name, sentence in seen.errors.items()}
        return seen

    def clear_blockers(self) -> None:
        """What was asked about has ended: whatever else was found does not keep it from running."""
        self.findings = [replace(finding, kind="note") for finding in self.findings]

    def describe(self, run: Json | None) -> Json:
        """The answer: what most likely keeps it first."""
        told = " ".join(finding.what for finding in self.findings)
        for component in self.components.values():
            if not component.alive and component.describe(self.now) not in told and component.title not in told:
                self.findings.append(component.build_finding(self.now, blocks=False))
        self.findings += [self.other_runs] if self.other_runs else []
        if self.context.hides:
            self.errors["rows"] = "policy hides some from you, so what takes a limit may be among them."
        blind = Finding("note", "What keeps it cannot be told: see not_seen.")
        first, *others = sort_findings(self.findings) or [blind]
        return {
            "dag_id": self.dag_id,
            "dag_run_id": run["dag_run_id"] if run else self.run_id,
            "task_id": self.task_id,
            "state": run.get("state") if run else None,
            "verdict": name_verdict([first]),
            "cause": first.what,
            "evidence": first.evidence or None,
            "hint": first.hint or None,
            "next": [*first.calls] or None,
            "also": [finding.to_json() for finding in others[:_MOST_ALSO]] or None,
            "checked": "; ".join(self.checked) or None,
            "not_seen": list_errors(self.errors) or None,
        }


async def read_or_none(read: Awaitable[Any]) -> Any:
    """What was read, or None for a 404."""
    try:
        return await read
    except NotFoundError:
        return None


async def read_or_error(read: Awaitable[Any]) -> Any:
    """What was read, or the error itself, for a read without which there is no answer."""
    try:
        return await read
    except AirflowMcpError as error:
        return error
