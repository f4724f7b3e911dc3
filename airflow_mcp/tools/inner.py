"""The door as a composite sees it: the same policy for every step, and values whole instead of cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Tool, unknown_tool
from airflow_mcp.catalog.schema import validate
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import InvalidArgumentsError, NotAllowedError
from airflow_mcp.policy.decide import Decision, Within, decide, refusal, touched_by
from airflow_mcp.policy.explain import explain
from airflow_mcp.tools.caller import Caller
from airflow_mcp.tools.operate import Operations
from airflow_mcp.tools.reply import Reply
from airflow_mcp.tools.rows import read_allowed


@dataclass(frozen=True)
class Room:
    """Characters an answer may have: as asked for, and as the operator allows at most."""

    budget: int
    ceiling: int


class InnerDoor:
    """Handed to every composite. `within` is None for reads in the caller's own name."""

    def __init__(
        self, operations: Operations, within: Within | None, caller: Caller, version: Version, room: Room
    ) -> None:
        self.version = version
        self.budget = room.budget  # characters the composite's answer may have
        self.ceiling = room.ceiling  # and the most any answer may have
        self.instance = operations.instance
        self.url = operations.client.url  # Airflow's address, for links
        self.progress = caller.progress
        self._operations = operations
        self._within = within
        self._caller = caller

    async def one(self, name: str, **arguments: Any) -> Json:
        """The full record of an operation; empty where Airflow answers nothing."""
        return (await self._take(name, arguments)).one or {}

    async def rows(self, name: str, **arguments: Any) -> tuple[list[Json], int]:
        """The full records of one page of a list, and how many there are in all."""
        reply = await self._take(name, arguments)
        rows = reply.rows or []
        return rows, len(rows) if reply.total is None else reply.total

    @asynccontextmanager
    async def stream(self, name: str, **arguments: Any) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """The body of an operation, piece by piece."""
        step, decision = self._step(name, arguments)
        if decision.by_row:
            raise NotAllowedError(f"{name}: policy depends on the DAG here, so '~' will not do; name it.")
        async with self._operations.open_stream(step, arguments) as pieces:
            yield pieces

    async def _take(self, name: str, arguments: Json) -> Reply:
        step, decision = self._step(name, arguments)
        return await read_allowed(self._operations, step, arguments, self._caller, decision)

    def _step(self, name: str, arguments: Json) -> tuple[Tool, Decision]:
        """An operation that the composite's entry names, as policy decides on it now. Raises NotAllowedError."""
        step = self._operations.catalog.operations[name]
        own = name in self._within.tool.entry.steps if self._within else step.entry.access == "read"
        if not own:
            raise NotAllowedError(f"The step {name} is not one of this workflow's own.")
        asker = self._operations.asker(self._caller)
        decision = decide(self._operations.policy, step, touched_by(step, arguments), asker, self._within)
        if not decision.allowed:
            raise refusal(self._operations.policy, step, decision, asker)
        return step, decision

    def explain(self, name: str, arguments: Json) -> Json:
        """What policy says about every call of this caller with these arguments. Raises InvalidArgumentsError."""
        catalog, policy = self._operations.catalog, self._operations.policy
        tool = catalog.tools.get(name)
        if tool is None:
            raise InvalidArgumentsError(str(unknown_tool(name, catalog)))
        arguments = {key: value for key, value in arguments.items() if key != "instance"}
        validate(tool, arguments, catalog, whole=False)
        return explain(policy, catalog, tool, arguments, self._operations.asker(self._caller))
