"""Dispatcher of tool calls: check the arguments, decide, confirm, send, answer, and record the outcome.

Every call of every tool passes through here. A workflow's own steps are decided in workflow_context.py by the same
policy, so that nothing bypasses policy, redaction or the size limit of an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from airflow_mcp.airflow import wire
from airflow_mcp.airflow.caller_clients import Clients
from airflow_mcp.catalog import schema
from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.ids import read_ids, require_sendable
from airflow_mcp.catalog.loader import Catalog, build_unknown_tool_error
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.answer import render
from airflow_mcp.dispatch.answer.operation_answer import build_answer
from airflow_mcp.dispatch.call import Call, SizeLimits
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.latest_run import find_run, name_run
from airflow_mcp.dispatch.next_calls import adapt
from airflow_mcp.dispatch.not_found import explain_missing
from airflow_mcp.dispatch.operations.dag_filters import is_by_row, operate_each
from airflow_mcp.dispatch.operations.executor import OperationExecutor
from airflow_mcp.dispatch.operations.row_filter import read_allowed
from airflow_mcp.dispatch.operations.settlement import READ_BACK, UNKNOWN
from airflow_mcp.dispatch.operations.ui_links import add_links
from airflow_mcp.dispatch.safety import audit
from airflow_mcp.dispatch.safety.confirmation import Confirmation, PendingChange, confirm, describe_dry_run
from airflow_mcp.dispatch.safety.masked_arguments import apply_plan, mask_call_arguments, sign_arguments
from airflow_mcp.dispatch.safety.safeguards import Safeguards
from airflow_mcp.dispatch.workflow_context import LoadWorkflows, Workflow, WorkflowContext
from airflow_mcp.errors import AirflowMcpError, NotAllowedError, NotFoundError
from airflow_mcp.policy.decision import Decision, ParentCall, Principal, build_refusal, decide_call, offers
from airflow_mcp.policy.effects import choose_strictest_class, derive_effects, list_effect_names, list_target_names
from airflow_mcp.policy.rules import Policy
from airflow_mcp.text import escape_unseen, shorten
from airflow_mcp.value_excerpt import excerpt_text

DEFAULT_BUDGET = 8_000  # characters of an answer
_ERROR_SIZE = 600  # characters of an error


class Dispatcher:
    """Dispatcher of all tool calls on one Airflow."""

    def __init__(
        self,
        catalog: Catalog,
        policy: Policy,
        client: Clients,
        load_workflows: LoadWorkflows,
        *,
        ceiling: int,
        instance: str = "default",
        safeguards: Safeguards | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build a dispatcher; `ceiling` is the operator's limit on an answer in characters, `clock` gives seconds.

        The dispatchers of one server share `safeguards`, which then hold the rules instead of `policy`.
        """
        self.catalog = catalog
        self.client = client
        self.ceiling = ceiling
        self.instance = instance
        self.safeguards = safeguards or Safeguards(policy)
        self._executor = OperationExecutor(catalog, client, clock)
        self._load_workflows = load_workflows

    @property
    def policy(self) -> Policy:
        """The rules in force for the next call."""
        return self.safeguards.policy

    def identify_principal(self, caller: Caller) -> Principal:
        """Return the principal that policy decides about."""
        return Principal(caller.name, caller.roles, self.instance, caller.narrowing)

    async def call(self, name: str, arguments: Json, caller: Caller) -> Json:
        """Run one tool and answer within its budget.

        Raises UnknownToolError for a name that does not exist, and another AirflowMcpError for every other failure.
        """
        tool = self.catalog.tools.get(name)
        if tool is None:
            raise build_unknown_tool_error(name, self.catalog)
        arguments = read_ids(tool, arguments, self.catalog)
        record = audit.AuditRecord.begin(caller, tool, self.instance)
        call = Call(tool, arguments, caller, self.policy, self.instance, record, SizeLimits(0, self.ceiling))
        token = audit.current_record.set(record)
        self.safeguards.begin()
        failure: BaseException | None = None
        try:
            record.arguments = mask_call_arguments(tool, arguments, self.catalog)
            call, decision = await self._decide(call)
            return await self._answer(call, decision)
        except BaseException as error:  # an error of this package, a question, a cancellation, a crash
            failure = error
            if isinstance(error, AirflowMcpError) and error.next_calls:
                error.next_calls = self._adapt_answer([*error.next_calls], caller, None)
            record.error = (
                describe_error(error) if isinstance(error, AirflowMcpError) else f"ended by {type(error).__name__}"
            )
            if record.id and record.status is None and not isinstance(error, AirflowMcpError):
                record.outcome = UNKNOWN
            raise
        finally:
            self.safeguards.end(record, failure)
            audit.current_record.reset(token)

    async def _decide(self, call: Call) -> tuple[Call, Decision]:
        """Return the call with checked arguments and its effects, and the decision on them.

        Raises InvalidArgumentsError for arguments that the tool does not take, and NotAllowedError.
        """
        self._require_offered(call)
        call = self._read(call)
        effects = await self._executor.resolve_effects(call)
        decision = decide_call(call.policy, call.tool, effects, call.principal)
        record = call.record
        record.rule = decision.rule
        if call.changes:
            record.targets, record.affected = list_target_names(effects), None
            record.effects = list_effect_names(effects)
        if not decision.allowed:
            raise build_refusal(call.policy, call.tool, decision, call.principal)
        return replace(call, effects=effects), decision

    def _require_offered(self, call: Call) -> None:
        """Raise NotAllowedError where policy allows no call of this tool, or of the tool that forwards to it.

        This comes before the arguments are checked.
        """
        for tool in filter(None, (call.tool, call.caller.forwarder)):
            if not offers(call.policy, tool, call.principal):
                effects = derive_effects(tool, call.arguments if tool is call.tool else {})
                decision = decide_call(call.policy, tool, effects, call.principal)
                call.record.rule, call.record.effects = decision.rule, list_effect_names(effects)
                raise build_refusal(call.policy, tool, decision, call.principal)

    def _read(self, call: Call) -> Call:
        """Return the call with checked arguments; those about the answer or the confirmation become its fields."""
        tool, arguments = call.tool, call.arguments
        require_sendable(tool, arguments, self.catalog)
        schema.validate(tool, arguments, self.catalog)
        if call.changes:
            schema.refuse_masks(tool, arguments)
        arguments = schema.convert_integers(tool, arguments, self.catalog)
        plan = arguments.pop("plan", "")
        budget = arguments.pop("max_chars", tool.entry.budget or DEFAULT_BUDGET)
        return replace(
            call,
            limits=SizeLimits(min(budget, self.ceiling), self.ceiling),
            fields=tuple(arguments.pop("fields", ())),
            links=arguments.pop("links", False),
            plan=plan,
            arguments=apply_plan(tool, arguments, plan) if call.changes else arguments,
        )

    async def _answer(self, call: Call, decision: Decision) -> Json:
        """Confirm the call where it changes something, send it, and answer."""
        version = await self._executor.find_version(call)
        schema.check_version(call.tool, call.arguments, self.catalog, version)
        workflow = self._load_workflows()[call.tool.name] if call.tool.entry.python else None
        confirmed_rows: tuple[Json, ...] = ()
        run_id = ""
        try:
            if call.is_action:
                change = PendingChange(self._executor, self.safeguards, call, workflow)
                confirmation = await self._confirm(change, decision)
                if confirmation.preview is not None:
                    return self._adapt_answer(confirmation.preview, call.caller, version)
                confirmed_rows = confirmation.confirmed_rows
                call = replace(
                    call,
                    effects=confirmation.effects or call.effects,
                    arguments=sign_arguments(call.tool, call.arguments, call.caller.name, version),
                )
            else:
                await self.safeguards.rates.take(call.caller.name, choose_strictest_class(call.effects))
                call.record.decision = "allowed"
            if workflow:
                call = replace(call, parent=ParentCall(call.tool, derive_effects(call.tool, call.arguments)))
            if call.tool.entry.takes_latest:
                run_id = await find_run(WorkflowContext(self._executor, call, version), call.tool, call.arguments)
                call = self._with_run(call, run_id) if run_id else call
            if call.changes and call.is_dry:
                answer = await self._answer_preview(call, decision, version, workflow)
            elif workflow:
                answer = await self._run_workflow(call, version, workflow, confirmed_rows)
            else:
                answer = await self._run_operation(call, decision, version)
        except NotFoundError as error:
            reads = WorkflowContext(self._executor, replace(call, parent=None), version)
            raise await explain_missing(reads, call.arguments, error) from None
        answer = self._adapt_answer(answer, call.caller, version)
        return name_run(answer, run_id) if run_id else answer

    def _with_run(self, call: Call, run_id: str) -> Call:
        """Return the call with the run that it left out, and less room for the answer, which names the run."""
        arguments = {name: value for name, value in call.arguments.items() if name != "latest"}
        arguments["dag_run_id"] = run_id
        call.record.arguments = mask_call_arguments(call.tool, arguments, self.catalog)
        budget = max(call.limits.budget - 2 * len(run_id) - 40, schema.SMALLEST_ANSWER)
        return replace(call, arguments=arguments, limits=replace(call.limits, budget=budget))

    async def _confirm(self, change: PendingChange, decision: Decision) -> Confirmation:
        """Return a preview to answer with, or the permission to make the change now.

        Only acting uses a plan up: after a refusal for any other reason it is still valid.
        """
        call = change.call
        confirmation = await confirm(change, decision)
        if confirmation.preview is not None:
            return confirmation
        if self.safeguards.policy != call.policy:
            raise NotAllowedError(
                f"{call.tool.name}: the rules changed while this waited for an answer. Call it again."
            )
        # Previews are not counted.
        await self.safeguards.rates.take(call.caller.name, choose_strictest_class(call.effects))
        if confirmation.claim_id:
            await self.safeguards.plans.use(confirmation.claim_id)
        call.record.decision = "allowed"
        try:
            self.safeguards.audit.announce(call.record)
        except NotAllowedError:
            if confirmation.claim_id:
                await self.safeguards.plans.give_back(confirmation.claim_id)
            raise
        return confirmation

    async def _answer_preview(
        self, call: Call, decision: Decision, version: Version, workflow: Workflow | None
    ) -> Json:
        """Return the answer of a dry run: its targets, and the plan and the calls that make the change."""
        tool, limits = call.tool, call.limits
        if workflow:
            wire.check_ids(tool, call.arguments, self.catalog, version.generation)
        try:
            dry_run = await describe_dry_run(PendingChange(self._executor, self.safeguards, call, workflow), decision)
        except AirflowMcpError as error:
            call.record.status = error.answered
            raise
        reply = dry_run.preview.reply
        assert reply is not None  # a tool with a dry run always has one
        call.record.status = reply.status
        frame: Json = {"plan": dry_run.plan} if dry_run.plan else {}
        size = limits.budget - len(render.dumps(frame | {"next": dry_run.calls}))
        smaller = replace(limits, budget=max(size, schema.SMALLEST_ANSWER))  # so that the plan is never cut
        call = replace(call, limits=smaller, fields=())
        extra: Json = {"dry_run": True, "hint": dry_run.hint}
        if workflow:
            assert workflow.preview is not None
            answer = extra | workflow.preview(call.arguments, reply.rows or [], dry_run.preview.facts)
            answer = self._fit_answer(answer, call, version)
        else:
            answer = build_answer(call, reply, extra)
        calls = [*answer.pop("next", ()), *dry_run.calls]
        return answer | frame | ({"next": calls} if calls else {})

    async def _run_workflow(self, call: Call, version: Version, workflow: Workflow, granted: tuple[Json, ...]) -> Json:
        wire.check_ids(call.tool, call.arguments, self.catalog, version.generation)
        context = WorkflowContext(self._executor, call, version, granted)
        try:
            answer = await workflow.run(context, call.arguments)
        finally:
            call.record.status, call.record.outcome = context.status, context.outcome
        return self._fit_answer(answer, call, version, context.hints)

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
            reply = add_links(reply, self.client.url, (self.client.known_version or version).generation)
        return build_answer(call, reply, {"done": True} if entry.preview == "flag" else {})

    def _adapt_answer(self, answer: Any, caller: Caller, version: Version | None) -> Any:
        """Return the answer with those next calls that this caller can make here."""
        airflow_version = self.client.known_version or version
        return adapt(answer, self.catalog, airflow_version, self.instance if caller.names_instance else "")

    def _fit_answer(self, answer: Json, call: Call, version: Version, hints: Sequence[str] = ()) -> Json:
        """Return a workflow's answer with the fields of its record, cut to size."""
        answer = self._adapt_answer(answer, call.caller, version)
        if hints:
            answer["hint"] = " ".join([*filter(None, [answer.get("hint")]), *hints])
        return render.workflow_answer(
            answer,
            self.catalog.records[call.tool.entry.record or ""],
            budget=call.limits.budget,
            ceiling=call.limits.ceiling,
            reveal=call.reveals_secrets,
        )


def describe_error(error: AirflowMcpError) -> str:
    """Return an error's sentence: redacted, invisible characters of its ids escaped, at most 600 characters."""
    return shorten(excerpt_text(escape_unseen(str(error)), _ERROR_SIZE), _ERROR_SIZE)


def build_error_answer(error: AirflowMcpError) -> Json:
    """Return an error as data: its sentence as `describe_error` writes it, and the calls to make next."""
    return {"error": describe_error(error), **({"next": [*error.next_calls]} if error.next_calls else {})}
