"""Context of a workflow: its reads and changes, every step under the same policy, with values not cut to size."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Tool, build_unknown_tool_error
from airflow_mcp.catalog.schema import validate
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.call import Call
from airflow_mcp.dispatch.operations.executor import OperationExecutor
from airflow_mcp.dispatch.operations.field_types import conform, find_missing_keys
from airflow_mcp.dispatch.operations.result import OperationResult, collect_dag_ids, identify_target, name_target
from airflow_mcp.dispatch.operations.row_filter import read_allowed
from airflow_mcp.dispatch.operations.settlement import READ_BACK
from airflow_mcp.dispatch.registry.search import SearchResult
from airflow_mcp.dispatch.request_limits import AdaptiveLimit, AnswerLimits
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError, NotAllowedError, UnusableAnswerError
from airflow_mcp.policy.decision import Decision, build_refusal, decide
from airflow_mcp.policy.effects import Effect, derive_effects, extend_to_dags, list_effect_names
from airflow_mcp.policy.explanation import explain_decision

_LOGS = 2  # logs that one call reads at once: each keeps a place at Airflow while it streams


class WorkflowContext:
    """Everything that a workflow may do. A call without a `parent` reads in the caller's own name."""

    def __init__(
        self, executor: OperationExecutor, call: Call, version: Version, confirmed_rows: tuple[Json, ...] = ()
    ) -> None:
        self.reveals = call.reveals_secrets
        self.budget = call.limits.budget  # characters the workflow's answer may have
        self.ceiling = call.limits.ceiling  # the maximum of any answer
        self.catalog = executor.catalog
        self.instance = call.instance
        self.url = executor.client.url  # Airflow's address, for links
        self.progress = call.caller.progress
        self.confirmed_rows = confirmed_rows  # the targets that were confirmed, in the workflow's order
        self.hides = False  # whether policy has hidden rows of a list, so that its count omits them
        self.status: int | None = None  # the highest HTTP status of the workflow's changes
        self.outcome = ""  # of a change whose answer could not be used (operations/settlement.py)
        self.hints: list[str] = []  # results of reading such a change back
        self.cut = False  # whether more rows may follow a list with hidden rows, which its count omits
        self.logs = anyio.CapacityLimiter(_LOGS)  # bounds concurrent reads of logs
        self.requests = 0  # steps so far, each of them one request where policy hides no rows
        self._answers = 0
        self._clock = executor.clock
        self._limits = AnswerLimits()
        self._concurrency = AdaptiveLimit(executor.clock)
        self._version = version
        self._executor = executor
        self._call = call
        self._parent = call.parent
        self._existing: set[tuple[str | None, str | None]] = set()  # DAGs and runs that need no lookup

    @property
    def version(self) -> Version:
        """Airflow's version, current also where it was upgraded since the call began."""
        return self._executor.client.known_version or self._version

    def limit_requests(self, *, seconds: float, requests: float = math.inf) -> None:
        """Bound the whole answer: reads beyond it raise AnswerLimitError, and the answer says that they are missing."""
        self._limits = AnswerLimits(requests, self._clock() + seconds, seconds)

    @property
    def is_bounded(self) -> bool:
        """Whether the answer has a deadline, so that its progress is reported in requests."""
        return not math.isinf(self._limits.deadline)

    @property
    def remaining_requests(self) -> float:
        """Steps that the answer may still take: 0 after its deadline, infinite where nothing bounds it."""
        return 0 if self._clock() >= self._limits.deadline else max(self._limits.requests - self.requests, 0)

    async def read_record(self, name: str, /, **arguments: Any) -> Json:
        """Return the full record of an operation; empty where Airflow answers nothing.

        An id that the answer lacks is taken from the arguments. Raises UnusableAnswerError where they lack it too;
        values of a wrong type are None (operations/field_types.py).
        """
        return (await self._operate(name, arguments)).single or {}

    async def read_rows(self, name: str, /, **arguments: Any) -> tuple[list[Json], int]:
        """Return the full records of one page of a list, read as by `read_record`, and the total number of rows."""
        reply = await self._operate(name, arguments)
        rows = reply.rows or []
        self.hides = self.hides or (reply.rows is not None and reply.total is None)
        self.cut = self.cut or len(reply.after) > len(rows)
        return rows, len(rows) if reply.total is None else reply.total

    @asynccontextmanager
    async def open_stream(self, name: str, /, **arguments: Any) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Open the body of an operation as an iterator over its pieces."""
        step, decision = self._decide_step(name, arguments)
        if decision.by_row:
            raise NotAllowedError(f"{name}: policy depends on the DAG here, so '~' will not do; name it.")
        async with (
            self._acquire_request() as answered,
            self._executor.open_stream(self._call.step(step, arguments)) as pieces,
        ):
            answered()
            yield pieces

    @asynccontextmanager
    async def _acquire_request(self) -> AsyncGenerator[Callable[[], None]]:
        """Hold one step's place at Airflow, within the limits of the answer. Raises AnswerLimitError."""
        self._limits.check(self.requests, self._clock())
        self.requests += 1
        with anyio.move_on_after(self._limits.deadline - self._clock()) as scope:
            async with self._concurrency.acquire() as answered:
                if self._clock() >= self._limits.deadline:  # it passed during the wait for a place
                    raise self._limits.build_deadline_error()
                yield answered
        if scope.cancelled_caught:
            raise self._limits.build_deadline_error()
        self._answers += 1
        if self.is_bounded:
            await self.progress(self._answers, None, f"{self._answers} requests answered by Airflow")

    async def _operate(self, name: str, arguments: Json) -> OperationResult:
        step, decision = self._decide_step(name, arguments)
        if step.entry.preview == "flag" and not step.entry.is_dry(arguments):
            await self._require_confirmed(step, arguments)
        dag_run_id = arguments.get("dag_run_id")
        run_key = arguments.get("dag_id"), None if dag_run_id == "~" else dag_run_id
        look_up = run_key not in self._existing
        changes = step.entry.access != "read" and not step.entry.is_dry(arguments)
        try:
            async with self._acquire_request():
                reply = await read_allowed(self._executor, self._call.step(step, arguments), decision, look_up=look_up)
        except AirflowMcpError as error:
            if changes:
                self._remember(error.answered, error.outcome)
            raise
        if changes:
            self._remember(reply.status, READ_BACK if reply.hint else "")
        if reply.hint:
            self.hints.append(reply.hint)
        record = self._read(name, reply.single, arguments) if reply.single else None
        row_arguments = {key: value for key, value in arguments.items() if value != "~"}  # in a list "~" means any
        rows = None if reply.rows is None else [self._read(name, row, row_arguments) for row in reply.rows]
        reply = replace(reply, single=record, rows=rows)
        if reply.single or reply.rows:
            self._existing |= {run_key, (run_key[0], None)}
            self._existing |= {(row.get("dag_id"), row.get("dag_run_id")) for row in reply.rows or []}
        if step.entry.is_dry(arguments):
            self._decide(step, extend_to_dags(derive_effects(step, arguments), collect_dag_ids(reply.rows)))
        return reply

    def _read(self, name: str, fields: Json, arguments: Json) -> Json:
        entry = self._executor.catalog.operations[name].entry
        record = self._executor.catalog.records[entry.record or ""]
        typed: Json = {**dict.fromkeys(record.keep), **conform(fields)}
        for key in record.ids:
            if typed.get(key) is None and isinstance(arguments.get(key), str):
                typed[key] = arguments[key]
        if missing := find_missing_keys(entry.record, typed):
            raise UnusableAnswerError(f"Airflow {self.version} answered {name} without {' and '.join(missing)}.", 200)
        return typed

    def _remember(self, status: int | None, outcome: str) -> None:
        self.status = max((value for value in (self.status, status) if value is not None), default=None)
        self.outcome = outcome or self.outcome

    async def _require_confirmed(self, step: Tool, arguments: Json) -> None:
        """Raise NotAllowedError where a dry run now reaches targets that were not confirmed."""
        reply = await self._executor.operate(self._call.step(step, {**arguments, "dry_run": True}))
        confirmed_targets = {identify_target(row) for row in self.confirmed_rows}
        new_targets = {name_target(row) for row in reply.rows or [] if identify_target(row) not in confirmed_targets}
        if new_targets:
            raise NotAllowedError(
                f"{step.name} would now also touch {', '.join(sorted(new_targets)[:3])}, which was not confirmed. "
                "It was not done; call again for a new preview."
            )

    def _decide_step(self, name: str, arguments: Json) -> tuple[Tool, Decision]:
        """Return a step of the workflow's entry and the decision on it now. Raises NotAllowedError."""
        step = self._executor.catalog.operations[name]
        is_allowed = name in self._parent.tool.entry.steps if self._parent else step.entry.access == "read"
        if not is_allowed:
            raise NotAllowedError(f"The step {name} is not one of this workflow's own.")
        return step, self._decide(step, derive_effects(step, arguments))

    def _decide(self, step: Tool, effects: tuple[Effect, ...]) -> Decision:
        (effect,) = effects  # no step of a workflow is a vehicle
        if effect.changes and self._parent and effect.tool.name not in list_effect_names(self._parent.effects):
            raise NotAllowedError(f"{step.name} is no effect of this call of {self._parent.tool.name}.")
        policy, principal = self._call.policy, self._call.principal
        decision = decide(policy, effect, principal, self._parent)
        if not decision.allowed:
            raise build_refusal(policy, step, decision, principal)
        return decision

    def may_see(self, dag_id: str) -> bool:
        """Return whether policy lets the caller read this DAG.

        What another DAG's records say about it is included only then.
        """
        effect = Effect(self.catalog.operations["get_dag"], {"dag": frozenset({dag_id})})
        return decide(self._call.policy, effect, self._call.principal, self._parent).allowed

    async def find_tools(self, query: str) -> SearchResult:
        """Return the tools that this caller may use for a question, best first."""
        return await self._call.caller.find(query)

    def explain_call(self, name: str, arguments: Json) -> Json:
        """Explain what policy says about a call of this caller.

        Raises InvalidArgumentsError for an unknown tool, and for arguments that the tool does not take.
        """
        catalog = self.catalog
        tool = catalog.tools.get(name)
        if tool is None:
            raise InvalidArgumentsError(str(build_unknown_tool_error(name, catalog)))
        arguments = {key: value for key, value in arguments.items() if key != "instance"}
        validate(tool, arguments, catalog, complete=False)
        return explain_decision(self._call.policy, catalog, tool, arguments, self._call.principal)


@dataclass(frozen=True)
class Workflow:
    """A tool implemented in Python: its answer and, where it has a dry run, its targets and their preview."""

    # Answers a call, by its context and its arguments.
    run: Callable[[WorkflowContext, Json], Awaitable[Json]]
    # Returns the rows that it would touch, and facts to show with them.
    targets: Callable[[WorkflowContext, Json], Awaitable[tuple[list[Json], Json]]] | None = None
    # Returns the answer of its dry run, from its arguments, those rows and those facts.
    preview: Callable[[Json, list[Json], Json], Json] | None = None


# Workflows by tool name, loaded on demand: their modules take 0.1 s to import, and listing tools does not need them.
LoadWorkflows = Callable[[], Mapping[str, Workflow]]
