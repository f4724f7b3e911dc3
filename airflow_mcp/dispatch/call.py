"""One call of one tool: read once when it comes in, and carried to its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.policy.decision import ParentCall, Principal, reveals_secrets
from airflow_mcp.policy.effects import Effect
from airflow_mcp.policy.rules import Policy

if TYPE_CHECKING:
    from airflow_mcp.dispatch.safety.audit import AuditRecord

ALL_FIELDS = ("*",)


@dataclass(frozen=True)
class SizeLimits:
    """Characters an answer may have."""

    # As the call asks for, or as its tool has it.
    budget: int
    # As the operator allows at most.
    ceiling: int


@dataclass(frozen=True)
class Call:
    """One call of one tool on one Airflow, or one step of it: the same caller, under the same rules."""

    tool: Tool
    # What the tool itself takes. What says only how to answer or to confirm stands in the fields below instead.
    arguments: Json
    caller: Caller
    # The rules in force when the call came in, whatever a reload brings meanwhile.
    policy: Policy
    instance: str
    # The line of the audit trail that tells of the whole call.
    record: AuditRecord
    limits: SizeLimits
    # Fields to show beside the record's own; "*" for all of them.
    fields: tuple[str, ...] = ALL_FIELDS
    # Whether to add links to Airflow's pages.
    links: bool = False
    # The plan that confirms it; empty for none.
    plan: str = ""
    # What it does, as policy decides on it; empty for a step.
    effects: tuple[Effect, ...] = ()
    # The workflow that a step belongs to; None for a call of a client, and for a read in the caller's own name.
    parent: ParentCall | None = None

    @cached_property
    def principal(self) -> Principal:
        """Who policy decides about."""
        return Principal(self.caller.name, self.caller.roles, self.instance, self.caller.narrowing)

    @cached_property
    def reveals_secrets(self) -> bool:
        """Whether the caller is shown secret fields."""
        return reveals_secrets(self.policy, self.principal)

    @property
    def changes(self) -> bool:
        """Whether the tool is one that changes something."""
        return self.tool.entry.access != "read"

    @property
    def is_dry(self) -> bool:
        """Whether it only shows what a change would do."""
        return self.tool.entry.is_dry(self.arguments)

    @property
    def is_action(self) -> bool:
        """Whether it changes something once it is sent."""
        return self.changes and not self.is_dry

    def step(self, tool: Tool, arguments: Json, fields: tuple[str, ...] = ALL_FIELDS) -> Call:
        """Return the call of another operation that this one needs."""
        return replace(self, tool=tool, arguments=arguments, fields=fields, effects=(), plan="", links=False)

    def with_arguments(self, arguments: Json) -> Call:
        """Return the same call with other arguments."""
        return replace(self, arguments=arguments)
