"""The door as a composite sees it: the same policy for every step, and values whole instead of cut."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Tool, unknown_tool
from airflow_mcp.catalog.schema import validate
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.operations.executor import Operations
from airflow_mcp.dispatch.operations.field_types import conform, lacking
from airflow_mcp.dispatch.operations.result import Reply, dags_of, key_of, name_of
from airflow_mcp.dispatch.operations.row_filter import read_allowed
from airflow_mcp.dispatch.operations.settlement import READ_BACK
from airflow_mcp.dispatch.registry.search import Found
from airflow_mcp.dispatch.request_limits import AnswerLimits, ConcurrencyLimiter
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError, NotAllowedError, UnusableAnswerError
from airflow_mcp.policy.decide import Decision, Within, decide, refusal, reveals_secrets
from airflow_mcp.policy.effects import Effect, effect_names, effects_of, reaching
from airflow_mcp.policy.explain import explain

_LOGS = 2  # read at once by one call: each keeps a place at Airflow for as long as it streams


@dataclass(frozen=True)
class Room:
    """Characters an answer may have: as asked for, and as the operator allows at most; and the clock it goes by."""

    budget: int
    ceiling: int
    clock: Callable[[], float] = time.monotonic  # seconds


class InnerDoor:
    """Handed to every composite. `within` is None for reads in the caller's own name."""

    def __init__(
        self,
        operations: Operations,
        within: Within | None,
        caller: Caller,
        version: Version,
        room: Room,
        granted: tuple[Json, ...] = (),
    ) -> None:
        self.reveals = reveals_secrets(operations.policy, operations.asker(caller))
        self.budget = room.budget  # characters the composite's answer may have
        self.ceiling = room.ceiling  # and the most any answer may have
        self.catalog = operations.catalog
        self.instance = operations.instance
        self.url = operations.client.url  # Airflow's address, for links
        self.progress = caller.progress
        self.granted = granted  # the targets that were confirmed, in the composite's order
        self.hides = False  # whether policy has hidden rows from a list, so that its count is of the shown ones only
        self.status: int | None = None  # of its changes' own, the highest
        self.outcome = ""  # of a change whose answer could not be used (operation/settlement.py)
        self.hints: list[str] = []  # what reading such a change back showed
        self.cut = False  # whether behind such a list more rows may follow, which its count leaves out
        self.logs = anyio.CapacityLimiter(_LOGS)  # that this call reads at once
        self.requests = 0  # steps taken, each of them a request where policy hides no rows
        self._answers = 0
        self._clock = room.clock
        self._limits = AnswerLimits()
        self._places = ConcurrencyLimiter(room.clock)
        self._version = version
        self._operations = operations
        self._within = within
        self._found: set[tuple[str | None, str | None]] = set()  # DAGs and runs that exist: no need to look them up
        self._caller = caller

    @property
    def version(self) -> Version:
        """Airflow's, also where it was upgraded since the call began."""
        return self._operations.client.known_version or self._version

    def bound(self, *, seconds: float, requests: float = math.inf) -> None:
        """Bound the whole answer: reads beyond it raise AnswerLimitError, and the answer says that they are missing."""
        self._limits = AnswerLimits(requests, self._clock() + seconds, seconds)

    @property
    def is_bounded(self) -> bool:
        """Whether the answer has a deadline, and so tells its progress in requests."""
        return not math.isinf(self._limits.deadline)

    @property
    def requests_left(self) -> float:
        """Steps that the answer may still take; none after its deadline, infinite where nothing bounds it."""
        return 0 if self._clock() >= self._limits.deadline else max(self._limits.requests - self.requests, 0)

    async def one(self, name: str, /, **arguments: Any) -> Json:
        """The full record of an operation; empty where Airflow answers nothing.

        An id that the answer lacks is the one that was asked for. Raises UnusableAnswerError where there is none, and
        values of a wrong type are None: see operations/field_types.py.
        """
        return (await self._take(name, arguments)).one or {}

    async def rows(self, name: str, /, **arguments: Any) -> tuple[list[Json], int]:
        """The full records of one page of a list, and how many there are in all; each is read like that of `one`."""
        reply = await self._take(name, arguments)
        rows = reply.rows or []
        self.hides = self.hides or (reply.rows is not None and reply.total is None)
        self.cut = self.cut or len(reply.after) > len(rows)
        return rows, len(rows) if reply.total is None else reply.total

    @asynccontextmanager
    async def stream(self, name: str, /, **arguments: Any) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """The body of an operation, piece by piece."""
        step, decision = self._step(name, arguments)
        if decision.by_row:
            raise NotAllowedError(f"{name}: policy depends on the DAG here, so '~' will not do; name it.")
        async with (
            self._request() as answered,
            self._operations.open_stream(step, arguments, self._caller) as pieces,
        ):
            answered()
            yield pieces

    @asynccontextmanager
    async def _request(self) -> AsyncGenerator[Callable[[], None]]:
        """One step's place at Airflow, within the limits of the answer. Raises AnswerLimitError."""
        self._limits.check(self.requests, self._clock())
        self.requests += 1
        with anyio.move_on_after(self._limits.deadline - self._clock()) as scope:
            async with self._places.place() as answered:
                if self._clock() >= self._limits.deadline:  # it passed while this waited for its place
                    raise self._limits.too_late()
                yield answered
        if scope.cancelled_caught:
            raise self._limits.too_late()
        self._answers += 1
        if self.is_bounded:
            await self.progress(self._answers, None, f"{self._answers} requests answered by Airflow")

    async def _take(self, name: str, arguments: Json) -> Reply:
        step, decision = self._step(name, arguments)
        if step.entry.preview == "flag" and not step.entry.is_dry(arguments):
            await self._require_granted(step, arguments)
        dag_run_id = arguments.get("dag_run_id")
        place = arguments.get("dag_id"), None if dag_run_id == "~" else dag_run_id
        look_up = place not in self._found
        changes = step.entry.access != "read" and not step.entry.is_dry(arguments)
        try:
            async with self._request():
                reply = await read_allowed(self._operations, step, arguments, self._caller, decision, look_up=look_up)
        except AirflowMcpError as error:
            if changes:
                self._remember(error.answered, error.outcome)
            raise
        if changes:
            self._remember(reply.status, READ_BACK if reply.hint else "")
        if reply.hint:
            self.hints.append(reply.hint)
        one = self._read(name, reply.one, arguments) if reply.one else None
        named = {key: value for key, value in arguments.items() if value != "~"}  # of a list "~" means any
        rows = None if reply.rows is None else [self._read(name, row, named) for row in reply.rows]
        reply = replace(reply, one=one, rows=rows)
        if reply.one or reply.rows:
            self._found |= {place, (place[0], None)}
            self._found |= {(row.get("dag_id"), row.get("dag_run_id")) for row in reply.rows or []}
        if step.entry.is_dry(arguments):
            self._decided(step, reaching(effects_of(step, arguments), dags_of(reply.rows)))
        return reply

    def _read(self, name: str, fields: Json, arguments: Json) -> Json:
        entry = self._operations.catalog.operations[name].entry
        record = self._operations.catalog.records[entry.record or ""]
        typed: Json = {**dict.fromkeys(record.keep), **conform(fields)}
        for key in record.ids:
            if typed.get(key) is None and isinstance(arguments.get(key), str):
                typed[key] = arguments[key]
        if missing := lacking(entry.record, typed):
            raise UnusableAnswerError(f"Airflow {self.version} answered {name} without {' and '.join(missing)}.", 200)
        return typed

    def _remember(self, status: int | None, outcome: str) -> None:
        self.status = max((one for one in (self.status, status) if one is not None), default=None)
        self.outcome = outcome or self.outcome

    async def _require_granted(self, step: Tool, arguments: Json) -> None:
        """A change under a grant reaches what was confirmed and nothing else. Raises NotAllowedError."""
        reply = await self._operations.operate(step, {**arguments, "dry_run": True}, self._caller)
        granted = {key_of(row) for row in self.granted}
        strangers = {name_of(row) for row in reply.rows or [] if key_of(row) not in granted}
        if strangers:
            raise NotAllowedError(
                f"{step.name} would now also touch {', '.join(sorted(strangers)[:3])}, which was not confirmed. It was "
                "not done; call again for a new preview."
            )

    def _step(self, name: str, arguments: Json) -> tuple[Tool, Decision]:
        """An operation that the composite's entry names, as policy decides on it now. Raises NotAllowedError."""
        step = self._operations.catalog.operations[name]
        own = name in self._within.tool.entry.steps if self._within else step.entry.access == "read"
        if not own:
            raise NotAllowedError(f"The step {name} is not one of this workflow's own.")
        return step, self._decided(step, effects_of(step, arguments))

    def _decided(self, step: Tool, effects: tuple[Effect, ...]) -> Decision:
        (effect,) = effects  # of a vehicle no composite makes a step
        if effect.changes and self._within and effect.tool.name not in effect_names(self._within.effects):
            raise NotAllowedError(f"{step.name} is no effect of this call of {self._within.tool.name}.")
        asker = self._operations.asker(self._caller)
        decision = decide(self._operations.policy, effect, asker, self._within)
        if not decision.allowed:
            raise refusal(self._operations.policy, step, decision, asker)
        return decision

    def may_see(self, dag_id: str) -> bool:
        """Whether policy lets the caller read this DAG: what another DAG's records say about it is shown only then."""
        operations = self._operations
        read = Effect(operations.catalog.operations["get_dag"], {"dag": frozenset({dag_id})})
        return decide(operations.policy, read, operations.asker(self._caller), self._within).allowed

    async def find(self, query: str) -> Found:
        """The tools that this caller may use for a question, best first."""
        return await self._caller.find(query)

    def explain(self, name: str, arguments: Json) -> Json:
        """What policy says about every call of this caller with these arguments. Raises InvalidArgumentsError."""
        catalog, policy = self._operations.catalog, self._operations.policy
        tool = catalog.tools.get(name)
        if tool is None:
            raise InvalidArgumentsError(str(unknown_tool(name, catalog)))
        arguments = {key: value for key, value in arguments.items() if key != "instance"}
        validate(tool, arguments, catalog, whole=False)
        return explain(policy, catalog, tool, arguments, self._operations.asker(self._caller))
