"""The data of one tool call, from its arrival to its answer."""

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
    """Limits on the size of an answer, in characters."""

    # The limit that the call asks for, or the default of its tool.
    budget: int
    # The maximum that the operator allows.
    ceiling: int


@dataclass(frozen=True)
class Call:
    """One call of one tool on one Airflow, or one step of it for the same caller under the same rules."""

    tool: Tool
    # The tool's own arguments. Those about the answer or the confirmation are in the fields below.
    arguments: Json
    caller: Caller
    # The rules in force when the call came in; a later reload does not change them.
    policy: Policy
    instance: str
    # The record of the whole call in the audit trail.
    record: AuditRecord
    limits: SizeLimits
    # Fields to show in addition to the record's own; "*" for all of them.
    fields: tuple[str, ...] = ALL_FIELDS
    # Whether to add links to Airflow's pages.
    links: bool = False
    # The plan token that confirms the call; empty for none.
    plan: str = ""
    # The effects that policy decides on; empty for a step.
    effects: tuple[Effect, ...] = ()
    # The workflow's call that a step belongs to; None for a client's call, and for a read in the caller's own name.
    parent: ParentCall | None = None

    @cached_property
    def principal(self) -> Principal:
        """The principal that policy decides about."""
        return Principal(self.caller.name, self.caller.roles, self.instance, self.caller.narrowing)

    @cached_property
    def reveals_secrets(self) -> bool:
        """Whether the caller may see secret fields."""
        return reveals_secrets(self.policy, self.principal)

    @property
    def changes(self) -> bool:
        """Whether the tool changes something."""
        return self.tool.entry.access != "read"

    @property
    def is_dry(self) -> bool:
        """Whether the call is a dry run, which only shows what a change would do."""
        return self.tool.entry.is_dry(self.arguments)

    @property
    def is_action(self) -> bool:
        """Whether the call changes something once it is sent."""
        return self.changes and not self.is_dry

    def step(self, tool: Tool, arguments: Json, fields: tuple[str, ...] = ALL_FIELDS) -> Call:
        """Return the call of another operation that this one needs."""
        return replace(self, tool=tool, arguments=arguments, fields=fields, effects=(), plan="", links=False)

    def with_arguments(self, arguments: Json) -> Call:
        """Return the same call with other arguments."""
        return replace(self, arguments=arguments)
