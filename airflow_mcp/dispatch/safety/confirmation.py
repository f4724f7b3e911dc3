"""Confirmation of a change: find its targets, check them against policy and cap, and ask for a plan or a human."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.catalog.schema import SMALLEST_ANSWER
from airflow_mcp.dispatch.answer import render
from airflow_mcp.dispatch.call import Call, SizeLimits
from airflow_mcp.dispatch.caller import ApprovalQuestion
from airflow_mcp.dispatch.next_calls import NextCall, is_repeatable, next_call
from airflow_mcp.dispatch.operations.executor import OperationExecutor
from airflow_mcp.dispatch.safety.approval import QUESTION_SIZE, Approval, write_question
from airflow_mcp.dispatch.safety.masked_arguments import list_sent_arguments, mask_call_arguments
from airflow_mcp.dispatch.safety.plan_tokens import PLAN_SECONDS, PlanBinding
from airflow_mcp.dispatch.safety.preview import Preview, name_targets, preview_change
from airflow_mcp.dispatch.safety.safeguards import Safeguards
from airflow_mcp.dispatch.workflow_context import Workflow
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.policy.decision import Decision, build_refusal, combine_decisions, decide_call, depends_on
from airflow_mcp.policy.effects import Effect, choose_strictest_class
from airflow_mcp.value_excerpt import CharacterBudget, show_id

_HINT = (
    "Nothing was changed. With this plan the same call does exactly what the preview shows; it is good once, for "
    f"{PLAN_SECONDS // 60} minutes."
)
_HINT_DRY = (
    "Nothing was changed. The same call with this plan, and without dry_run, does exactly what is shown; it is good "
    f"once, for {PLAN_SECONDS // 60} minutes."
)


@dataclass(frozen=True)
class DryRunResult:
    """The preview of a dry run, and the calls that make the change."""

    preview: Preview
    hint: str
    plan: str = ""  # empty where none is needed, a human is asked instead, or the change is not allowed
    calls: list[NextCall] = field(default_factory=list[NextCall])


@dataclass(frozen=True)
class Confirmation:
    """Result of confirming: a preview to answer with, or permission to act once `claim_id` has been claimed."""

    preview: Json | None = None
    claim_id: str = ""  # the plan or the answer that acting uses up; empty where none was needed
    confirmed_rows: tuple[Json, ...] = ()  # for a workflow: the targets it may act on, in its order
    effects: tuple[Effect, ...] = ()  # as they were decided and confirmed; empty where no target was looked up


@dataclass(frozen=True)
class PendingChange:
    """One changing call that awaits confirmation."""

    executor: OperationExecutor
    safeguards: Safeguards
    call: Call
    workflow: Workflow | None  # the tool's own, where it has one

    async def preview_targets(self) -> Preview:
        """Return the objects that the call would touch now."""
        return await preview_change(self.executor, self.call, self.workflow)

    async def bind_plan(self, targets: Preview) -> PlanBinding:
        """Return everything that a plan or an answer for this call is bound to."""
        call, version = self.call, str(await self.executor.find_version(self.call))
        return PlanBinding.create(call.tool.name, call.arguments, targets.ids, call.caller.name, call.instance, version)

    async def seal(self, targets: Preview) -> str:
        """Return a new plan for these targets, in the form that a caller presents."""
        record = self.call.record
        record.plan, sealed = self.safeguards.plans.seal(await self.bind_plan(targets))
        record.decision = "previewed"
        return sealed


async def confirm(change: PendingChange, decision: Decision) -> Confirmation:
    """Find the targets, check them against policy and cap, and have them confirmed.

    Raises NotAllowedError when the targets reach outside policy or over the cap, or the confirmation is refused.
    """
    call, safeguards = change.call, change.safeguards
    tool, caller, record = call.tool, call.caller, call.record
    has_dry_run = tool.entry.preview == "flag"
    may_reach_other_dags = has_dry_run and depends_on(call.policy, "dag", call.principal, tool, *tool.effects)
    binds_rows = tool.entry.python and has_dry_run
    unlimited = decision.confirm == "never" and decision.max_affected is None
    if unlimited and not call.plan and not may_reach_other_dags and not binds_rows:
        return Confirmation()
    targets, decision = await _check_targets(change, decision)
    if targets.count == 0:
        raise NotAllowedError(f"{tool.name}: nothing matches, so there is nothing to do and nothing was changed.")
    if excess := _describe_excess(tool, targets, decision):
        raise NotAllowedError(excess)
    confirmed_rows = tuple(targets.reply.rows or ()) if binds_rows and targets.reply else ()
    if decision.confirm == "human":
        # Before the question, so that nobody answers it for a call that is refused afterwards.
        await safeguards.rates.require(caller.name, choose_strictest_class(targets.effects))
        record.decision = "asked"
        return Confirmation(
            claim_id=await _ask(change, targets), confirmed_rows=confirmed_rows, effects=targets.effects
        )
    if call.plan:  # checked also where none is needed: a plan is valid only for what its preview listed
        record.plan = safeguards.plans.open(call.plan, await change.bind_plan(targets))
        return Confirmation(claim_id=record.plan, confirmed_rows=confirmed_rows, effects=targets.effects)
    if decision.confirm == "never":
        return Confirmation(confirmed_rows=confirmed_rows, effects=targets.effects)
    sealed = await change.seal(targets)
    calls = _repeat_call(change, call.arguments, sealed)
    return Confirmation(preview=_build_preview(tool, calls, targets, sealed, call.limits))


async def describe_dry_run(change: PendingChange, decision: Decision) -> DryRunResult:
    """Return what a dry run shows and how to make the change, with a plan at once where the rule asks for one.

    Raises NotAllowedError when the targets reach outside policy.
    """
    tool, arguments = change.call.tool, change.call.arguments
    targets, decision = await _check_targets(change, decision)
    change.call.record.decision = "allowed"
    if targets.count == 0:
        return DryRunResult(
            targets, "Nothing matches, so there is nothing to do.", calls=_advise_wider(tool, arguments)
        )
    if excess := _describe_excess(tool, targets, decision):
        return DryRunResult(targets, excess)
    if decision.confirm != "plan":
        why = "asks the user, and does it after a yes" if decision.confirm == "human" else "does it"
        return DryRunResult(
            targets, "Nothing was changed.", calls=[next_call(tool.name, why, **arguments | {"dry_run": False})]
        )
    sealed = await change.seal(targets)
    change_arguments = {name: value for name, value in arguments.items() if name != "dry_run"}
    return DryRunResult(targets, _HINT_DRY, sealed, _repeat_call(change, change_arguments, sealed))


async def _check_targets(change: PendingChange, decision: Decision) -> tuple[Preview, Decision]:
    """Find the targets and decide on all that they reach. Raises NotAllowedError where they reach outside policy."""
    targets, call = await change.preview_targets(), change.call
    call.record.targets, call.record.affected = targets.ids, targets.count
    target_decision = decide_call(call.policy, call.tool, targets.effects, call.principal)
    if not target_decision.allowed:
        raise build_refusal(call.policy, call.tool, target_decision, call.principal)
    return targets, combine_decisions(decision, target_decision)


def _describe_excess(tool: Tool, targets: Preview, decision: Decision) -> str:
    """Return why max_affected refuses these targets, or an empty text."""
    if decision.max_affected is None:
        return ""
    if tool.entry.preview is None and any(None in effect.target_ids.values() for effect in targets.effects):
        return (
            f"{tool.name}: how many objects this reaches cannot be told beforehand, and max_affected limits it. "
            "Nothing was done; name each of them."
        )
    if targets.count > decision.max_affected:
        return (
            f"{tool.name} would touch {targets.count} objects; {decision.max_affected} are allowed in one call "
            "(max_affected). Nothing was done; ask for fewer."
        )
    return ""


def _advise_wider(tool: Tool, arguments: Json) -> list[NextCall]:
    """Return the call that finds something where this one looked only at failed tasks."""
    has_only_failed = any(use.name == "only_failed" for use in tool.entry.params)
    if not has_only_failed or not arguments.get("only_failed", True):
        return []
    return [next_call(tool.name, "counts what did not fail too", **arguments | {"only_failed": False})]


async def _ask(change: PendingChange, targets: Preview) -> str:
    """Ask the human and return the id of the answer, which is used once.

    Raises NotAllowedError for any answer but yes.
    """
    version = await change.executor.find_version(change.call)
    binding = await change.bind_plan(targets)
    text = await _write_question(change, targets)
    answer = await change.call.caller.ask(
        ApprovalQuestion(text, change.safeguards.plans.digest(json.dumps(asdict(binding))))
    )
    if not answer.yes:
        raise NotAllowedError(f"Nothing was done: the user's answer was {answer.words!r}.")
    # For an answer with an id the whole call ran again, so that its targets are current.
    if not answer.claim_id and (await change.preview_targets()).ids != targets.ids:
        raise NotAllowedError("Nothing was done: the targets changed while the user was asked. Call again.")
    if await change.executor.find_version(change.call) != version:
        raise NotAllowedError("Nothing was done: Airflow was upgraded while the user was asked. Call again.")
    return answer.claim_id


async def _write_question(change: PendingChange, targets: Preview) -> str:
    """Return the question to a human: what, where, for whom, with what, which objects, and what cannot be undone."""
    call, executor = change.call, change.executor
    tool, instance, caller = call.tool, call.instance, call.caller.name
    where = "" if instance == "default" else f" on {instance}"
    sent_arguments = list_sent_arguments(tool, call.arguments, caller, await executor.find_version(call))
    argument_texts = set(name_targets(call, executor.catalog))  # the question lists these among the arguments
    limit = CharacterBudget(2 * QUESTION_SIZE)  # twice the size, since masked text may be shorter
    approval = Approval(
        head=f"{tool.entry.title}{where}: {targets.count} affected.",
        where=f"Tool {tool.name}, on the Airflow {instance} ({executor.client.url}), for the caller {caller}.",
        arguments=sent_arguments,
        masked=mask_call_arguments(tool, sent_arguments, executor.catalog, limit),
        is_whole=not (limit.cut or limit.too_deep),
        targets=[target for target in targets.ids if target not in argument_texts],
        lost=tool.entry.lost,
    )
    return write_question(approval, lambda text: change.safeguards.plans.digest(text)[:6])


def _repeat_call(change: PendingChange, arguments: Json, plan: str) -> list[NextCall]:
    """Return the same call with its plan, where its arguments may be repeated."""
    tool = change.call.tool
    if not is_repeatable(tool, arguments, change.executor.catalog):
        return []
    return [next_call(tool.name, "does exactly what the preview shows", **arguments | {"plan": plan})]


def _build_preview(tool: Tool, calls: list[NextCall], targets: Preview, plan: str, limits: SizeLimits) -> Json:
    frame: Json = {"preview": {}, "plan": plan, "hint": _HINT, **({"next": calls} if calls else {})}
    size = max(limits.budget - len(render.dumps(frame)), SMALLEST_ANSWER)
    extra: Json = {"affected": targets.count}
    if tool.entry.lost:
        extra["lost"] = tool.entry.lost
    reply = targets.reply
    if reply is None or reply.rows is None:
        ids = [show_id(target) for target in targets.ids]
        preview = render.fit(extra | {"targets": ids} | targets.facts, budget=size, ceiling=limits.ceiling)
    else:
        rows, extra = len(reply.rows), extra | targets.facts
        preview = render.render_list(
            reply.rows, reply.record, total=rows, paged=False, budget=size, ceiling=limits.ceiling, extra=extra
        )
    preview.pop("more", None)  # a larger answer would have another plan; dry_run shows all targets
    return frame | {"preview": preview}
