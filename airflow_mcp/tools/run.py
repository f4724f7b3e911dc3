"""The one door: name + arguments -> found -> validated -> allowed -> sent -> shaped.

Every call of every tool comes through here, a composite's inner steps too, so that nothing goes round policy,
redaction or the size of an answer.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow_mcp.airflow import wire
from airflow_mcp.airflow.clients import Clients
from airflow_mcp.catalog import schema
from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Catalog, Tool, unknown_tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import AirflowMcpError, NotAllowedError, NotFoundError
from airflow_mcp.policy.decide import Asker, Decision, Within, decide, offers, refusal, touched_by
from airflow_mcp.policy.rules import Policy
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten
from airflow_mcp.tools import shape
from airflow_mcp.tools.caller import Caller
from airflow_mcp.tools.guarding import audit
from airflow_mcp.tools.guarding.arguments import carry_out, shown, signed
from airflow_mcp.tools.guarding.confirm import Change, Confirmation, confirm, offer
from airflow_mcp.tools.guarding.guard import Guard
from airflow_mcp.tools.guarding.targets import names_in
from airflow_mcp.tools.inner import InnerDoor, Room
from airflow_mcp.tools.latest_run import find_run, name_run
from airflow_mcp.tools.missing import explain_missing
from airflow_mcp.tools.next_calls import adapt
from airflow_mcp.tools.operation.operate import Operations
from airflow_mcp.tools.operation.reply import Reply
from airflow_mcp.tools.operation.rows import read_allowed
from airflow_mcp.tools.operation.settlement import READ_BACK
from airflow_mcp.tools.operation.ui_links import with_links

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
    ) -> None:
        """`ceiling` is the operator's limit on an answer, characters.

        `guard` is shared by the doors of one server, and then it has the rules, not `policy`.
        """
        self.catalog = catalog
        self.client = client
        self.ceiling = ceiling
        self.instance = instance
        self.guard = guard or Guard(policy)

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
        through = caller.through.name if caller.through else ""
        told = shown(tool, arguments, self.catalog)
        entry = audit.Entry.of(caller, name, access, self.instance, told, through)
        token = audit.current.set(entry)
        self.guard.begin()
        failure: BaseException | None = None
        try:
            return await self._decided(self._operations(), tool, arguments, caller, entry)
        except BaseException as error:  # ours, a question, a cancellation, a crash
            failure = error
            if isinstance(error, AirflowMcpError) and error.next_calls:
                error.next_calls = self._adapted([*error.next_calls], caller, None)
            entry.error = present(error) if isinstance(error, AirflowMcpError) else f"ended by {type(error).__name__}"
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
                never = decide(policy, one, {}, asker)
                entry.rule = never.rule
                raise refusal(policy, one, never, asker)
        schema.validate(tool, arguments, self.catalog)
        if tool.entry.access != "read":
            schema.refuse_masks(tool, arguments)
        touched = await operations.touched(tool, arguments, caller)
        decision = decide(policy, tool, touched, asker)
        entry.rule = decision.rule
        if tool.entry.access != "read":
            entry.targets, entry.affected = names_in(touched), None
        if not decision.allowed:
            raise refusal(policy, tool, decision, asker)
        arguments = schema.whole_numbers(tool, arguments, self.catalog)
        room = Room(min(arguments.pop("max_chars", tool.entry.budget or DEFAULT_BUDGET), self.ceiling), self.ceiling)
        fields = tuple(arguments.pop("fields", ()))
        links = arguments.pop("links", False)
        version = await operations.version(caller)
        schema.check_version(tool, arguments, self.catalog, version)
        if tool.entry.access != "read":
            arguments = carry_out(tool, arguments)
        change = Change(operations, self.guard, tool, arguments, caller, entry)
        dry = tool.entry.access != "read" and tool.entry.is_dry(arguments)
        granted: tuple[Json, ...] = ()
        try:
            if tool.entry.access == "read" or dry:
                await self.guard.rates.take(caller.name, tool.entry.access)
                entry.decision = "allowed"
            else:
                confirmation = await self._confirmed(change, decision, room)
                if confirmation.preview is not None:
                    return self._adapted(confirmation.preview, caller, version)
                granted = confirmation.granted
                arguments = signed(tool, arguments, caller.name, version)
            run_id = await find_run(InnerDoor(operations, None, caller, version, room), tool, arguments)
            if run_id:
                arguments = {**arguments, "dag_run_id": run_id}
                arguments.pop("latest", None)
                entry.arguments = shown(tool, arguments, self.catalog)
                room = Room(max(room.budget - 2 * len(run_id) - 40, schema.SMALLEST_ANSWER), room.ceiling)
            if dry:
                return self._adapted(await self._preview(change, decision, version, room), caller, version)
            if tool.entry.python:
                inner = InnerDoor(operations, Within(tool, touched_by(tool, arguments)), caller, version, room, granted)
                try:
                    answer = await self._composite(tool, arguments, caller, inner)
                    return name_run(answer, run_id) if run_id else answer
                finally:
                    entry.status, entry.outcome = inner.status, inner.outcome
            try:
                reply = await read_allowed(operations, tool, arguments, caller, decision, fields)
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
        answer = self._adapted(self._answer(tool, arguments, reply, fields, room, extra), caller, version)
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
        await self.guard.rates.take(caller.name, tool.entry.access)  # previews and questions are not counted
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
        size = room.budget - len(shape.dumps(frame | {"next": offered.calls}))
        smaller = Room(max(size, schema.SMALLEST_ANSWER), room.ceiling)  # a plan is never cut
        extra: Json = {"dry_run": True, "hint": offered.hint}
        if tool.entry.python:
            show = import_module(f"airflow_mcp.tools.composite.{tool.name}").preview
            answer = extra | show(arguments, reply.rows or [], offered.targets.facts)
            inner = InnerDoor(change.door, None, change.caller, version, smaller)
            answer = self._fitted(tool, self._adapted(answer, change.caller, version), inner)
        else:
            answer = self._answer(tool, arguments, reply, (), smaller, extra)
        calls = [*answer.pop("next", ()), *offered.calls]
        return answer | frame | ({"next": calls} if calls else {})

    async def _composite(self, tool: Tool, arguments: Json, caller: Caller, inner: InnerDoor) -> Json:
        wire.check_ids(tool, arguments, self.catalog, inner.version.generation)
        function = import_module(f"airflow_mcp.tools.composite.{tool.name}").run
        return self._fitted(tool, self._adapted(await function(inner, arguments), caller, inner.version), inner)

    def _fitted(self, tool: Tool, answer: Json, inner: InnerDoor) -> Json:
        """A composite's answer as its record keeps it, cut to size."""
        record = self.catalog.records[tool.entry.record or ""]
        kept = {name: answer[name] for name in answer if name in record.keep and answer[name] is not None}
        if inner.hints:
            kept["hint"] = " ".join([*filter(None, [kept.get("hint")]), *inner.hints])
        kept = shape.normalise(kept, record, "v2", reveal=inner.reveals)
        return shape.fit(kept, budget=inner.budget, ceiling=inner.ceiling, tail=record.tail)

    def _answer(
        self, tool: Tool, arguments: Json, reply: Reply, fields: tuple[str, ...], room: Room, extra: Json
    ) -> Json:
        """One operation's reply as it is answered; `extra` stands around it."""
        extra = extra | ({"hint": reply.hint} if reply.hint else {})
        if reply.rows is not None and reply.total is None:
            extra["hint"] = "Policy hides rows here, so there is no total."
        if reply.rows == [] and (wrong := _foreign_wildcards(arguments)):
            extra["hint"] = (
                f"In {' and '.join(wrong)} % stands for any characters and _ for one; * and ? stand for nothing."
            )
        if reply.rows is None:
            ids = {name: value for name, value in arguments.items() if name in self._slots(tool)}
            if not reply.one:
                return {"done": True, **ids, **extra}
            one = {**ids, **{name: value for name, value in reply.one.items() if value is not None or name == "value"}}
            answer = shape.record_answer(
                one, reply.record, budget=room.budget, ceiling=room.ceiling, fields=fields, extra=extra
            )
            return answer if tool.entry.access == "read" else _without_more(answer)
        cursor = arguments.get("cursor")
        answer = shape.list_answer(
            reply.rows,
            reply.record,
            total=reply.total if cursor is None else len(reply.rows),
            after=reply.after,
            offset=arguments.get("offset", 0),
            paged=any(use.name == "offset" for use in tool.entry.params),
            budget=room.budget - (0 if cursor is None else len(reply.cursor or cursor) + 40),
            ceiling=room.ceiling,
            fields=fields,
            given=arguments,
            extra=extra,
        )
        if cursor is not None:
            fetched = len(reply.rows)
            answer = shape.by_cursor(answer, fetched=fetched, total=reply.total, given=cursor, following=reply.cursor)
        return answer if tool.entry.access == "read" or extra.get("dry_run") else _without_more(answer)

    @staticmethod
    def _slots(tool: Tool) -> set[str]:
        return {"dag_id"} | {slot for route in (tool.entry.v1, tool.entry.v2) if route for slot in route.slots}


def present(error: AirflowMcpError) -> str:
    """An error as it may leave: redacted, without unseen characters, at most 600 characters."""
    return shorten(redact_text(clean(str(error))), _ERROR_SIZE)


def _foreign_wildcards(arguments: Json) -> list[str]:
    """The patterns that are written in a shell's syntax: Airflow's are SQL's LIKE."""
    given = ((name, value) for name, value in arguments.items() if name.endswith("_pattern"))
    return [name for name, value in given if isinstance(value, str) and {"*", "?"} & set(value)]


def error_answer(error: AirflowMcpError) -> Json:
    """An error as data: its sentence as it may leave, and the calls to make next."""
    return {"error": present(error), **({"next": [*error.next_calls]} if error.next_calls else {})}


def _without_more(answer: Json) -> Json:
    """Of a change there is no more to ask for: the same call would make it again."""
    return {name: value for name, value in answer.items() if name != "more"}
