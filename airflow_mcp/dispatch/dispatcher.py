"""The one door: name + arguments -> found -> validated -> allowed -> sent -> shaped.

Every call of every tool comes through here, a composite's inner steps too, so that nothing goes round policy,
redaction or the size of an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from airflow_mcp.airflow import wire
from airflow_mcp.airflow.clients import Clients
from airflow_mcp.catalog import schema
from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.ids import read_ids, require_sendable
from airflow_mcp.catalog.load import Catalog, Tool, unknown_tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.answer import render
from airflow_mcp.dispatch.answer.operation_answer import operation_answer
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.latest_run import find_run, name_run
from airflow_mcp.dispatch.next_calls import adapt
from airflow_mcp.dispatch.not_found import explain_missing
from airflow_mcp.dispatch.operations.dag_filters import is_by_row, operate_each
from airflow_mcp.dispatch.operations.executor import Operations
from airflow_mcp.dispatch.operations.row_filter import read_allowed
from airflow_mcp.dispatch.operations.settlement import READ_BACK, UNKNOWN
from airflow_mcp.dispatch.operations.ui_links import with_links
from airflow_mcp.dispatch.safety import audit
from airflow_mcp.dispatch.safety.confirmation import Change, Confirmation, confirm, offer
from airflow_mcp.dispatch.safety.masked_arguments import carry_out, shown, signed
from airflow_mcp.dispatch.safety.safeguards import Guard
from airflow_mcp.dispatch.workflow_context import InnerDoor, Room
from airflow_mcp.errors import AirflowMcpError, NotAllowedError, NotFoundError
from airflow_mcp.excerpt import excerpt_text
from airflow_mcp.policy.decide import Asker, Decision, Within, decide_call, offers, refusal
from airflow_mcp.policy.effects import effect_names, effects_of, names_in, strictest_class
from airflow_mcp.policy.rules import Policy
from airflow_mcp.text import escape_unseen, shorten

DEFAULT_BUDGET = 8_000  # characters of an answer
_ERROR_SIZE = 600  # characters of an error


class Door:
    """What may be called, and how it is done, for one Airflow."""

    def __init__(
        self,
        catalog: Catalog,
        policy: Policy,
        client: Clients,
        *,
        ceiling: int,
        instance: str = "default",
        guard: Guard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ceiling` is the operator's limit on an answer, characters; `clock` gives seconds.

        `guard` is shared by the doors of one server, and then it has the rules, not `policy`.
        """
        self.catalog = catalog
        self.client = client
        self.ceiling = ceiling
        self.instance = instance
        self.guard = guard or Guard(policy)
        self.clock = clock

    @property
    def policy(self) -> Policy:
        """The rules in force for the next call."""
        return self.guard.policy

    def asker(self, caller: Caller) -> Asker:
        """Who policy decides about."""
        return self._operations().asker(caller)

    def _operations(self) -> Operations:
        """The operations under the rules in force now: a call keeps its own, whatever a reload brings meanwhile."""
        return Operations(self.catalog, self.policy, self.client, self.instance)

    async def call(self, name: str, arguments: Json, caller: Caller) -> Json:
        """Run one tool and answer within its budget.

        Raises UnknownToolError for a name that does not exist and, as AirflowMcpError, every other reason why not.
        """
        tool = self.catalog.tools.get(name)
        if tool is None:
            raise unknown_tool(name, self.catalog)
        access = tool.entry.access
        arguments = read_ids(tool, arguments, self.catalog)
        through = caller.through.name if caller.through else ""
        entry = audit.Entry.of(caller, name, access, self.instance, through)
        token = audit.current.set(entry)
        self.guard.begin()
        failure: BaseException | None = None
        try:
            entry.arguments = shown(tool, arguments, self.catalog)
            return await self._decided(self._operations(), tool, arguments, caller, entry)
        except BaseException as error:  # ours, a question, a cancellation, a crash
            failure = error
            if isinstance(error, AirflowMcpError) and error.next_calls:
                error.next_calls = self._adapted([*error.next_calls], caller, None)
            entry.error = present(error) if isinstance(error, AirflowMcpError) else f"ended by {type(error).__name__}"
            if entry.id and entry.status is None and not isinstance(error, AirflowMcpError):
                entry.outcome = UNKNOWN
            raise
        finally:
            self.guard.end(entry, failure)
            audit.current.reset(token)

    async def _decided(
        self, operations: Operations, tool: Tool, arguments: Json, caller: Caller, entry: audit.Entry
    ) -> Json:
        policy, asker = operations.policy, operations.asker(caller)
        for one in (tool, caller.through):
            if one is not None and not offers(policy, one, asker):
                meant = effects_of(one, arguments if one is tool else {})
                never = decide_call(policy, one, meant, asker)
                entry.rule, entry.effects = never.rule, effect_names(meant)
                raise refusal(policy, one, never, asker)
        require_sendable(tool, arguments, self.catalog)
        schema.validate(tool, arguments, self.catalog)
        if tool.entry.access != "read":
            schema.refuse_masks(tool, arguments)
            arguments = carry_out(tool, arguments)
        effects = await operations.effects(tool, arguments, caller)
        decision = decide_call(policy, tool, effects, asker)
        entry.rule = decision.rule
        if tool.entry.access != "read":
            entry.targets, entry.affected = names_in(effects), None
            entry.effects = effect_names(effects)
        if not decision.allowed:
            raise refusal(policy, tool, decision, asker)
        arguments = schema.whole_numbers(tool, arguments, self.catalog)
        budget = min(arguments.pop("max_chars", tool.entry.budget or DEFAULT_BUDGET), self.ceiling)
        room = Room(budget, self.ceiling, self.clock)
        fields = tuple(arguments.pop("fields", ()))
        links = arguments.pop("links", False)
        version = await operations.version(caller)
        schema.check_version(tool, arguments, self.catalog, version)
        change = Change(operations, self.guard, tool, arguments, caller, effects, entry)
        dry = tool.entry.access != "read" and tool.entry.is_dry(arguments)
        granted: tuple[Json, ...] = ()
        try:
            if tool.entry.access == "read" or dry:
                await self.guard.rates.take(caller.name, strictest_class(effects))
                entry.decision = "allowed"
            else:
                confirmation = await self._confirmed(change, decision, room)
                if confirmation.preview is not None:
                    return self._adapted(confirmation.preview, caller, version)
                granted, effects = confirmation.granted, confirmation.effects or effects
                arguments = signed(tool, arguments, caller.name, version)
            leave = Within(tool, effects_of(tool, arguments)) if tool.entry.python else None  # a workflow's own steps
            run_id = await find_run(InnerDoor(operations, leave, caller, version, room), tool, arguments)
            if run_id:
                arguments = {**arguments, "dag_run_id": run_id}
                arguments.pop("latest", None)
                entry.arguments = shown(tool, arguments, self.catalog)
                room = replace(room, budget=max(room.budget - 2 * len(run_id) - 40, schema.SMALLEST_ANSWER))
            if dry:
                return self._adapted(await self._preview(change, decision, version, room), caller, version)
            if tool.entry.python:
                within = Within(tool, effects_of(tool, arguments))
                inner = InnerDoor(operations, within, caller, version, room, granted)
                try:
                    answer = await self._composite(tool, arguments, caller, inner)
                    return name_run(answer, run_id) if run_id else answer
                finally:
                    entry.status, entry.outcome = inner.status, inner.outcome
            size = room.budget if tool.entry.rows is None or tool.entry.single else 4 * render.CELL
            try:
                if is_by_row(tool, effects, self.catalog):
                    reply = await operate_each(operations, tool, effects, caller)
                else:
                    reply = await read_allowed(operations, tool, arguments, caller, decision, fields, size=size)
            except AirflowMcpError as error:
                entry.status, entry.outcome = error.answered, error.outcome
                raise
            entry.status, entry.outcome = reply.status, READ_BACK if reply.hint else ""
        except NotFoundError as error:
            reads = InnerDoor(operations, None, caller, version, room)
            raise await explain_missing(reads, arguments, error) from None
        if links:
            reply = with_links(reply, self.client.url, (await operations.version(caller)).generation)
        extra: Json = {"done": True} if tool.entry.preview == "flag" else {}
        answer = self._adapted(operation_answer(tool, arguments, reply, fields, room, extra), caller, version)
        return name_run(answer, run_id) if run_id else answer

    def _adapted(self, answer: Any, caller: Caller, version: Version | None) -> Any:
        """The answer with its calls to make next as this caller can make them here."""
        known = self.client.known_version or version
        return adapt(answer, self.catalog, known, self.instance if caller.names_instance else "")

    async def _confirmed(self, change: Change, decision: Decision, room: Room) -> Confirmation:
        """A preview to answer with, or the leave to make the change now.

        A plan is used up by acting alone: a refusal for any other reason leaves it good.
        """
        tool, caller, entry = change.tool, change.caller, change.entry
        confirmation = await confirm(change, decision, room)
        if confirmation.preview is not None:
            return confirmation
        if self.guard.policy != change.door.policy:
            raise NotAllowedError(f"{tool.name}: the rules changed while this waited for an answer. Call it again.")
        await self.guard.rates.take(
            caller.name, strictest_class(change.effects)
        )  # previews and questions are not counted
        if confirmation.once:
            await self.guard.plans.use(confirmation.once)
        entry.decision = "allowed"
        try:
            self.guard.audit.announce(entry)
        except NotAllowedError:
            if confirmation.once:
                await self.guard.plans.give_back(confirmation.once)
            raise
        return confirmation

    async def _preview(self, change: Change, decision: Decision, version: Version, room: Room) -> Json:
        """The answer of a dry run: what would be touched, and the plan and the call that do it."""
        tool, arguments, entry = change.tool, change.arguments, change.entry
        if tool.entry.python:
            wire.check_ids(tool, arguments, self.catalog, version.generation)
        try:
            offered = await offer(change, decision)
        except AirflowMcpError as error:
            entry.status = error.answered
            raise
        reply = offered.targets.reply
        assert reply is not None  # of a tool with a dry run
        entry.status = reply.status
        frame: Json = {"plan": offered.plan} if offered.plan else {}
        size = room.budget - len(render.dumps(frame | {"next": offered.calls}))
        smaller = Room(max(size, schema.SMALLEST_ANSWER), room.ceiling)  # a plan is never cut
        extra: Json = {"dry_run": True, "hint": offered.hint}
        if tool.entry.python:
            show = import_module(f"airflow_mcp.workflows.{tool.name}").preview
            answer = extra | show(arguments, reply.rows or [], offered.targets.facts)
            inner = InnerDoor(change.door, None, change.caller, version, smaller)
            answer = self._fitted(tool, self._adapted(answer, change.caller, version), inner)
        else:
            answer = operation_answer(tool, arguments, reply, (), smaller, extra)
        calls = [*answer.pop("next", ()), *offered.calls]
        return answer | frame | ({"next": calls} if calls else {})

    async def _composite(self, tool: Tool, arguments: Json, caller: Caller, inner: InnerDoor) -> Json:
        wire.check_ids(tool, arguments, self.catalog, inner.version.generation)
        function = import_module(f"airflow_mcp.workflows.{tool.name}").run
        return self._fitted(tool, self._adapted(await function(inner, arguments), caller, inner.version), inner)

    def _fitted(self, tool: Tool, answer: Json, inner: InnerDoor) -> Json:
        """A composite's answer as its record keeps it, cut to size."""
        record = self.catalog.records[tool.entry.record or ""]
        if inner.hints:
            answer["hint"] = " ".join([*filter(None, [answer.get("hint")]), *inner.hints])
        return render.composite_answer(answer, record, budget=inner.budget, ceiling=inner.ceiling, reveal=inner.reveals)


def present(error: AirflowMcpError) -> str:
    """An error as it may leave: redacted, unseen characters of its ids written out, at most 600 characters."""
    return shorten(excerpt_text(escape_unseen(str(error)), _ERROR_SIZE), _ERROR_SIZE)


def error_answer(error: AirflowMcpError) -> Json:
    """An error as data: its sentence as it may leave, and the calls to make next."""
    return {"error": present(error), **({"next": [*error.next_calls]} if error.next_calls else {})}
