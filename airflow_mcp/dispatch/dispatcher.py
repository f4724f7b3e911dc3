"""The one way to call a tool: check its arguments, decide, confirm, send, answer, and record what came of it.

Every call of every tool comes through here. A workflow's own steps are decided in workflow_context.py by the same
policy, so that nothing goes round policy, redaction or the size of an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from airflow_mcp.airflow import wire
from airflow_mcp.airflow.clients import Clients
from airflow_mcp.catalog import schema
from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.ids import read_ids, require_sendable
from airflow_mcp.catalog.load import Catalog, unknown_tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.answer import render
from airflow_mcp.dispatch.answer.operation_answer import operation_answer
from airflow_mcp.dispatch.call import Call, SizeLimits
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
from airflow_mcp.dispatch.workflow_context import InnerDoor, LoadWorkflows, Workflow
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
        load_workflows: LoadWorkflows,
        *,
        ceiling: int,
        instance: str = "default",
        guard: Guard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ceiling` is the operator's limit on an answer, characters; `clock` gives seconds.

        `guard` is shared by the dispatchers of one server, and then it has the rules, not `policy`.
        """
        self.catalog = catalog
        self.client = client
        self.ceiling = ceiling
        self.instance = instance
        self.guard = guard or Guard(policy)
        self._executor = Operations(catalog, client, clock)
        self._load_workflows = load_workflows

    @property
    def policy(self) -> Policy:
        """The rules in force for the next call."""
        return self.guard.policy

    def asker(self, caller: Caller) -> Asker:
        """Who policy decides about."""
        return Asker(caller.name, caller.roles, self.instance, caller.narrowing)

    async def call(self, name: str, arguments: Json, caller: Caller) -> Json:
        """Run one tool and answer within its budget.

        Raises UnknownToolError for a name that does not exist and, as AirflowMcpError, every other reason why not.
        """
        tool = self.catalog.tools.get(name)
        if tool is None:
            raise unknown_tool(name, self.catalog)
        arguments = read_ids(tool, arguments, self.catalog)
        record = audit.Entry.of(caller, tool, self.instance)
        call = Call(tool, arguments, caller, self.policy, self.instance, record, SizeLimits(0, self.ceiling))
        token = audit.current.set(record)
        self.guard.begin()
        failure: BaseException | None = None
        try:
            record.arguments = shown(tool, arguments, self.catalog)
            call, decision = await self._decide(call)
            return await self._answer(call, decision)
        except BaseException as error:  # ours, a question, a cancellation, a crash
            failure = error
            if isinstance(error, AirflowMcpError) and error.next_calls:
                error.next_calls = self._adapted([*error.next_calls], caller, None)
            record.error = present(error) if isinstance(error, AirflowMcpError) else f"ended by {type(error).__name__}"
            if record.id and record.status is None and not isinstance(error, AirflowMcpError):
                record.outcome = UNKNOWN
            raise
        finally:
            self.guard.end(record, failure)
            audit.current.reset(token)

    async def _decide(self, call: Call) -> tuple[Call, Decision]:
        """The call with its arguments read, and the decision on its effects.

        Raises InvalidArgumentsError for arguments that the tool does not take, and NotAllowedError.
        """
        self._require_offered(call)
        call = self._read(call)
        effects = await self._executor.effects(call)
        decision = decide_call(call.policy, call.tool, effects, call.principal)
        record = call.record
        record.rule = decision.rule
        if call.changes:
            record.targets, record.affected = names_in(effects), None
            record.effects = effect_names(effects)
        if not decision.allowed:
            raise refusal(call.policy, call.tool, decision, call.principal)
        return replace(call, effects=effects), decision

    def _require_offered(self, call: Call) -> None:
        """Refuse what no call of this tool, or of the tool that runs it, may do, before its arguments are looked at."""
        for tool in filter(None, (call.tool, call.caller.through)):
            if not offers(call.policy, tool, call.principal):
                effects = effects_of(tool, call.arguments if tool is call.tool else {})
                decision = decide_call(call.policy, tool, effects, call.principal)
                call.record.rule, call.record.effects = decision.rule, effect_names(effects)
                raise refusal(call.policy, tool, decision, call.principal)

    def _read(self, call: Call) -> Call:
        """The call with its arguments checked, and apart from them what only says how to answer or to confirm."""
        tool, arguments = call.tool, call.arguments
        require_sendable(tool, arguments, self.catalog)
        schema.validate(tool, arguments, self.catalog)
        if call.changes:
            schema.refuse_masks(tool, arguments)
        arguments = schema.whole_numbers(tool, arguments, self.catalog)
        plan = arguments.pop("plan", "")
        budget = arguments.pop("max_chars", tool.entry.budget or DEFAULT_BUDGET)
        return replace(
            call,
            limits=SizeLimits(min(budget, self.ceiling), self.ceiling),
            fields=tuple(arguments.pop("fields", ())),
            links=arguments.pop("links", False),
            plan=plan,
            arguments=carry_out(tool, arguments, plan) if call.changes else arguments,
        )

    async def _answer(self, call: Call, decision: Decision) -> Json:
        """Confirm the call where it changes something, send it, and answer."""
        version = await self._executor.version(call)
        schema.check_version(call.tool, call.arguments, self.catalog, version)
        workflow = self._load_workflows()[call.tool.name] if call.tool.entry.python else None
        granted: tuple[Json, ...] = ()
        run_id = ""
        try:
            if call.acts:
                change = Change(self._executor, self.guard, call, workflow)
                confirmation = await self._confirm(change, decision)
                if confirmation.preview is not None:
                    return self._adapted(confirmation.preview, call.caller, version)
                granted = confirmation.granted
                call = replace(
                    call,
                    effects=confirmation.effects or call.effects,
                    arguments=signed(call.tool, call.arguments, call.caller.name, version),
                )
            else:
                await self.guard.rates.take(call.caller.name, strictest_class(call.effects))
                call.record.decision = "allowed"
            if workflow:
                call = replace(call, parent=Within(call.tool, effects_of(call.tool, call.arguments)))
            if run_id := await find_run(InnerDoor(self._executor, call, version), call.tool, call.arguments):
                call = self._with_run(call, run_id)
            if call.changes and call.is_dry:
                answer = await self._preview(call, decision, version, workflow)
            elif workflow:
                answer = await self._run_workflow(call, version, workflow, granted)
            else:
                answer = await self._run_operation(call, decision, version)
        except NotFoundError as error:
            reads = InnerDoor(self._executor, replace(call, parent=None), version)
            raise await explain_missing(reads, call.arguments, error) from None
        answer = self._adapted(answer, call.caller, version)
        return name_run(answer, run_id) if run_id else answer

    def _with_run(self, call: Call, run_id: str) -> Call:
        """The call of the run that it left out, with less room for the answer, which names the run."""
        arguments = {name: value for name, value in call.arguments.items() if name != "latest"}
        arguments["dag_run_id"] = run_id
        call.record.arguments = shown(call.tool, arguments, self.catalog)
        budget = max(call.limits.budget - 2 * len(run_id) - 40, schema.SMALLEST_ANSWER)
        return replace(call, arguments=arguments, limits=replace(call.limits, budget=budget))

    async def _confirm(self, change: Change, decision: Decision) -> Confirmation:
        """A preview to answer with, or the leave to make the change now.

        A plan is used up by acting alone: a refusal for any other reason leaves it good.
        """
        call = change.call
        confirmation = await confirm(change, decision)
        if confirmation.preview is not None:
            return confirmation
        if self.guard.policy != call.policy:
            raise NotAllowedError(
                f"{call.tool.name}: the rules changed while this waited for an answer. Call it again."
            )
        await self.guard.rates.take(call.caller.name, strictest_class(call.effects))  # previews are not counted
        if confirmation.once:
            await self.guard.plans.use(confirmation.once)
        call.record.decision = "allowed"
        try:
            self.guard.audit.announce(call.record)
        except NotAllowedError:
            if confirmation.once:
                await self.guard.plans.give_back(confirmation.once)
            raise
        return confirmation

    async def _preview(self, call: Call, decision: Decision, version: Version, workflow: Workflow | None) -> Json:
        """The answer of a dry run: what would be touched, and the plan and the call that do it."""
        tool, limits = call.tool, call.limits
        if workflow:
            wire.check_ids(tool, call.arguments, self.catalog, version.generation)
        try:
            offered = await offer(Change(self._executor, self.guard, call, workflow), decision)
        except AirflowMcpError as error:
            call.record.status = error.answered
            raise
        reply = offered.targets.reply
        assert reply is not None  # of a tool with a dry run
        call.record.status = reply.status
        frame: Json = {"plan": offered.plan} if offered.plan else {}
        size = limits.budget - len(render.dumps(frame | {"next": offered.calls}))
        smaller = replace(limits, budget=max(size, schema.SMALLEST_ANSWER))  # a plan is never cut
        call = replace(call, limits=smaller, fields=())
        extra: Json = {"dry_run": True, "hint": offered.hint}
        if workflow:
            assert workflow.preview is not None
            answer = extra | workflow.preview(call.arguments, reply.rows or [], offered.targets.facts)
            answer = self._fitted(answer, call, version)
        else:
            answer = operation_answer(call, reply, extra)
        calls = [*answer.pop("next", ()), *offered.calls]
        return answer | frame | ({"next": calls} if calls else {})

    async def _run_workflow(self, call: Call, version: Version, workflow: Workflow, granted: tuple[Json, ...]) -> Json:
        wire.check_ids(call.tool, call.arguments, self.catalog, version.generation)
        context = InnerDoor(self._executor, call, version, granted)
        try:
            answer = await workflow.run(context, call.arguments)
        finally:
            call.record.status, call.record.outcome = context.status, context.outcome
        return self._fitted(answer, call, version, context.hints)

    async def _run_operation(self, call: Call, decision: Decision, version: Version) -> Json:
        entry, record = call.tool.entry, call.record
        size = call.limits.budget if entry.rows is None or entry.single else 4 * render.CELL
        try:
            if is_by_row(call.tool, call.effects, self.catalog):
                reply = await operate_each(self._executor, call)
            else:
                reply = await read_allowed(self._executor, call, decision, size=size)
        except AirflowMcpError as error:
            record.status, record.outcome = error.answered, error.outcome
            raise
        record.status, record.outcome = reply.status, READ_BACK if reply.hint else ""
        if call.links:
            reply = with_links(reply, self.client.url, (self.client.known_version or version).generation)
        return operation_answer(call, reply, {"done": True} if entry.preview == "flag" else {})

    def _adapted(self, answer: Any, caller: Caller, version: Version | None) -> Any:
        """The answer with its calls to make next as this caller can make them here."""
        known = self.client.known_version or version
        return adapt(answer, self.catalog, known, self.instance if caller.names_instance else "")

    def _fitted(self, answer: Json, call: Call, version: Version, hints: Sequence[str] = ()) -> Json:
        """A workflow's answer as its record keeps it, cut to size."""
        answer = self._adapted(answer, call.caller, version)
        if hints:
            answer["hint"] = " ".join([*filter(None, [answer.get("hint")]), *hints])
        return render.workflow_answer(
            answer,
            self.catalog.records[call.tool.entry.record or ""],
            budget=call.limits.budget,
            ceiling=call.limits.ceiling,
            reveal=call.reveals_secrets,
        )


def present(error: AirflowMcpError) -> str:
    """An error as it may leave: redacted, unseen characters of its ids written out, at most 600 characters."""
    return shorten(excerpt_text(escape_unseen(str(error)), _ERROR_SIZE), _ERROR_SIZE)


def error_answer(error: AirflowMcpError) -> Json:
    """An error as data: its sentence as it may leave, and the calls to make next."""
    return {"error": present(error), **({"next": [*error.next_calls]} if error.next_calls else {})}
