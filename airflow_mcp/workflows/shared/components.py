"""Describe Airflow's own processes: which are alive, and what it means when one is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.workflows.shared.findings import Finding, format_age

_MEANING = {
    "metadatabase": "nothing works",
    "scheduler": "no run and no task starts",
    "triggerer": "deferred tasks never resume",
    "dag_processor": "new and changed DAG files are not read",
}


@dataclass(frozen=True)
class Component:
    """One process of Airflow (or its database) as GET /health reports it."""

    name: str
    status: str | None  # healthy, unhealthy, or None where it never reported
    heartbeat: str | None
    needed: bool  # whether this Airflow runs it as a process of its own
    # Only of a scheduler that does not report: the task instance that it runs itself meanwhile, and the name of its
    # executor where that could be read.
    work: Json = field(default_factory=dict[str, Any])
    executor: str = ""

    @property
    def title(self) -> str:
        """The name as a sentence begins with it: "The dag processor"."""
        return f"The {self.name.replace('_', ' ')}"

    @property
    def alive(self) -> bool:
        """Whether it works; where it is no process of its own, whether nothing says that it does not."""
        return self.status == "healthy" or not self.needed or bool(self.work)

    def describe(self, now: datetime) -> str:
        """Describe its state: "scheduler healthy", "triggerer unhealthy, last heartbeat 12 min ago"."""
        name = self.name.replace("_", " ")
        if self.status == "healthy":
            return f"{name} healthy"
        if self.work:
            return f"{name} silent since {format_age(self.heartbeat, now)} while it runs a task itself"
        if not self.needed:
            return f"{name} runs inside the scheduler" if self.name == "dag_processor" else f"no {name}"
        if self.status is None:
            return f"no {name} has ever reported"
        return f"{name} {self.status}, last heartbeat {format_age(self.heartbeat, now)}"

    def work_finding(self, now: datetime) -> Finding:
        """Build the finding that one task instance keeps the scheduler from starting others."""
        row = self.work
        instance_name = f"{row['dag_id']} / {row['dag_run_id']} / {row['task_id']}"
        age = format_age(row.get("start_date"), now)
        log_call = next_call(
            "read_task_log",
            "shows what it does",
            **{name: row.get(name) for name in ("dag_id", "dag_run_id", "task_id", "map_index")},
        )
        if self.executor:
            sentence = f"Airflow runs one task at a time, and now {instance_name}, since {age}."
            evidence = f"The scheduler's {self.executor} runs tasks inside it: it last reported "
            evidence += f"{format_age(self.heartbeat, now)}, and starts nothing else meanwhile."
            return Finding("waits", sentence, evidence, "Another executor runs several tasks at once.", (log_call,))
        sentence = f"Airflow most likely runs one task at a time, and now {instance_name}, since {age}."
        evidence = f"The scheduler last reported {format_age(self.heartbeat, now)}, and that task started since: a "
        evidence += "SequentialExecutor runs tasks inside the scheduler, which does not report meanwhile."
        hint = "Which executor it has could not be read ([core] executor): with any other, start the scheduler again."
        return Finding("waits", sentence, evidence, hint, (log_call,))

    def build_finding(self, now: datetime, *, blocks: bool) -> Finding:
        """Build the finding that this process is not alive, with what follows from it."""
        state = "is not alive" if self.status else "does not run: none has ever reported"
        evidence = f"Health: {self.status or 'no status'}, last heartbeat {format_age(self.heartbeat, now)}"
        evidence += f" ({self.heartbeat})." if self.heartbeat else "."
        return Finding(
            "blocks" if blocks else "note",
            f"{self.title} {state}, so {_MEANING[self.name]}.",
            evidence,
            "Start or restart it where Airflow runs.",
            (next_call("get_health", "tells whether it is back"),),
        )


def read_components(health: Json, version: Version) -> dict[str, Component]:
    """Return every component by its name.

    Airflow 2 parses DAG files inside the scheduler unless [scheduler] standalone_dag_processor is set, and a triggerer
    is optional there: for these two a missing status only means that there is no such process.
    """
    optional_names = ("dag_processor", "triggerer") if version.generation == "v1" else ()
    components: dict[str, Component] = {}
    for name in _MEANING:
        fields: Json = health.get(name) or {}
        status = fields.get("status")
        needed = status is not None or name not in optional_names
        components[name] = Component(name, status, fields.get(f"latest_{name}_heartbeat"), needed)
    return components
