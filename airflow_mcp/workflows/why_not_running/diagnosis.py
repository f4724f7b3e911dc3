"""Hold the state of one `why_not_running` call: its target, the findings so far, and the reads that failed."""

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
    """The target of one call, the findings so far, and the errors of failed reads, from which the answer is built."""

    context: WorkflowContext
    dag_id: str
    run_id: str | None
    task_id: str | None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    findings: list[Finding] = field(default_factory=list[Finding])
    checked: list[str] = field(default_factory=list[str])  # what was examined and is in order
    errors: dict[str, str] = field(default_factory=dict[str, str])
    components: dict[str, Component] = field(default_factory=dict[str, Component])
    busy: int | None = None  # slots of all pools taken by running and queued task instances; None: not read
    other_runs: Finding | None = None  # the note on active runs that were not examined

    @property
    def is_old(self) -> bool:
        """Whether this Airflow is a 2.x."""
        return self.context.version.generation == "v1"

    @property
    def is_blocked(self) -> bool:
        """Whether a finding needs somebody to act."""
        return any(finding.kind == "blocks" for finding in self.findings)

    @property
    def one_at_a_time(self) -> Component | None:
        """The scheduler while it runs a task itself, during which it starts nothing else; otherwise None."""
        scheduler = self.components.get("scheduler")
        return scheduler if scheduler and scheduler.work else None

    @property
    def is_explained(self) -> bool:
        """Whether a finding needs somebody to act, or the scheduler is occupied by a task that it runs itself."""
        return self.is_blocked or self.one_at_a_time is not None

    async def gather(self, /, **reads: Awaitable[Any]) -> ReadResults:
        """Read concurrently, and record each failed read for the answer, "_" in its name as a space."""
        results = await gather(**reads)
        self.errors |= {name.replace("_", " "): sentence for name, sentence in results.errors.items()}
        return results

    def clear_blockers(self) -> None:
        """Turn all findings into notes, since what was asked about has ended and nothing keeps it from running."""
        self.findings = [replace(finding, kind="note") for finding in self.findings]

    def describe(self, run: Json | None) -> Json:
        """Return the answer, with the most likely cause first."""
        text = " ".join(finding.what for finding in self.findings)
        for component in self.components.values():
            if not component.alive and component.describe(self.now) not in text and component.title not in text:
                self.findings.append(component.build_finding(self.now, blocks=False))
        self.findings += [self.other_runs] if self.other_runs else []
        if self.context.hides:
            self.errors["rows"] = "policy hides some from you, so what takes a limit may be among them."
        unknown = Finding("note", "What keeps it cannot be told: see not_seen.")
        first, *minor = sort_findings(self.findings) or [unknown]
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
            "also": [finding.to_json() for finding in minor[:_MOST_ALSO]] or None,
            "checked": "; ".join(self.checked) or None,
            "not_seen": list_errors(self.errors) or None,
        }


async def read_or_none(read: Awaitable[Any]) -> Any:
    """Return the result of a read, or None for a 404."""
    try:
        return await read
    except NotFoundError:
        return None


async def read_or_error(read: Awaitable[Any]) -> Any:
    """Return the result of a read, or its AirflowMcpError, for a read without which there is no answer."""
    try:
        return await read
    except AirflowMcpError as error:
        return error
