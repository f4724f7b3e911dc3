"""Before a change: its targets are worked out, held against policy and cap, and confirmed by a plan or by a human."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Tool
from airflow_mcp.catalog.schema import SMALLEST_ANSWER
from airflow_mcp.dispatch.answer import render
from airflow_mcp.dispatch.caller import Caller, Question
from airflow_mcp.dispatch.next_calls import NextCall, is_repeatable, next_call
from airflow_mcp.dispatch.operations.executor import Operations
from airflow_mcp.dispatch.safety.approval import QUESTION_SIZE, Approval, question
from airflow_mcp.dispatch.safety.audit import Entry
from airflow_mcp.dispatch.safety.masked_arguments import shown, spelt_out
from airflow_mcp.dispatch.safety.plan_tokens import PLAN_SECONDS, Bound
from airflow_mcp.dispatch.safety.preview import Targets, named, work_out
from airflow_mcp.dispatch.safety.safeguards import Guard
from airflow_mcp.dispatch.workflow_context import Room
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.excerpt import Room as ExcerptRoom
from airflow_mcp.excerpt import show_id
from airflow_mcp.policy.decide import Decision, decide_call, depends_on, refusal, stricter
from airflow_mcp.policy.effects import Effect, strictest_class

_HINT = (
    "Nothing was changed. With this plan the same call does exactly what the preview shows; it is good once, for "
    f"{PLAN_SECONDS // 60} minutes."
)
_HINT_DRY = (
    "Nothing was changed. The same call with this plan, and without dry_run, does exactly what is shown; it is good "
    f"once, for {PLAN_SECONDS // 60} minutes."
)


@dataclass(frozen=True)
class Offer:
    """What a dry run found, and the calls that do it."""

    targets: Targets
    hint: str
    plan: str = ""  # empty where none is needed, or a human is asked instead, or it may not be done
    calls: list[NextCall] = field(default_factory=list[NextCall])


@dataclass(frozen=True)
class Confirmation:
    """What came of asking: a preview to answer with, or the leave to act once `once` has been claimed."""

    preview: Json | None = None
    once: str = ""  # the plan or the answer that is used up by acting; empty where none was needed
    granted: tuple[Json, ...] = ()  # for a composite: the targets it may act on, in its order
    effects: tuple[Effect, ...] = ()  # as they were decided and confirmed; empty where that took no look


@dataclass(frozen=True)
class Change:
    """One changing call on its way to be confirmed."""

    door: Operations
    guard: Guard
    tool: Tool
    arguments: Json
    caller: Caller
    effects: tuple[Effect, ...]  # as the call names them
    entry: Entry  # of the audit trail, which is told the targets and the plan

    async def find_targets(self) -> Targets:
        """What it would touch as things are now."""
        return await work_out(self.door, self.tool, self.arguments, self.caller)

    async def bound(self, targets: Targets) -> Bound:
        """All that a plan or an answer for it is bound to."""
        version = str(await self.door.version(self.caller))
        return Bound.of(self.tool.name, self.arguments, targets.ids, self.caller.name, self.door.instance, version)

    async def seal(self, targets: Targets) -> str:
        """A new plan for these targets, as a caller presents it."""
        self.entry.plan, sealed = self.guard.plans.seal(await self.bound(targets))
        self.entry.decision = "previewed"
        return sealed


async def confirm(change: Change, decision: Decision, room: Room) -> Confirmation:
    """Work out the targets, hold them against policy and cap, and have them confirmed.

    Raises NotAllowedError when the targets reach outside policy or over the cap, or the confirmation is refused.
    """
    door, guard, tool, caller, entry = change.door, change.guard, change.tool, change.caller, change.entry
    presented: str = change.arguments.get("plan", "")
    has_dry_run = tool.entry.preview == "flag"
    reaches = has_dry_run and depends_on(door.policy, "dag", door.asker(caller), tool, *tool.effects)  # other DAGs
    by_grant = tool.entry.python and has_dry_run
    unlimited = decision.confirm == "never" and decision.max_affected is None
    if unlimited and not presented and not reaches and not by_grant:
        return Confirmation()
    targets, decision = await _hold(change, decision)
    if targets.count == 0:
        raise NotAllowedError(f"{tool.name}: nothing matches, so there is nothing to do and nothing was changed.")
    if over := _over_cap(tool, targets, decision):
        raise NotAllowedError(over)
    granted = tuple(targets.reply.rows or ()) if by_grant and targets.reply else ()
    if decision.confirm == "human":
        await guard.rates.require(caller.name, strictest_class(targets.effects))  # nobody is asked to be refused then
        entry.decision = "asked"
        return Confirmation(once=await _ask(change, targets), granted=granted, effects=targets.effects)
    if presented:  # also where none is needed: it is good for what it showed and for nothing else
        entry.plan = guard.plans.open(presented, await change.bound(targets))
        return Confirmation(once=entry.plan, granted=granted, effects=targets.effects)
    if decision.confirm == "never":
        return Confirmation(granted=granted, effects=targets.effects)
    sealed = await change.seal(targets)
    return Confirmation(preview=_preview(tool, _repeated(door, tool, change.arguments, sealed), targets, sealed, room))


async def offer(change: Change, decision: Decision) -> Offer:
    """What a dry run shows, and how it is done: by a plan that is given at once where the rule asks for one.

    Raises NotAllowedError when the targets reach outside policy.
    """
    tool, arguments = change.tool, change.arguments
    targets, decision = await _hold(change, decision)
    change.entry.decision = "allowed"
    if targets.count == 0:
        return Offer(targets, "Nothing matches, so there is nothing to do.", calls=_wider_calls(tool, arguments))
    if over := _over_cap(tool, targets, decision):
        return Offer(targets, over)
    if decision.confirm != "plan":
        does = "asks the user, and does it after a yes" if decision.confirm == "human" else "does it"
        return Offer(
            targets, "Nothing was changed.", calls=[next_call(tool.name, does, **arguments | {"dry_run": False})]
        )
    sealed = await change.seal(targets)
    meant = {name: value for name, value in arguments.items() if name != "dry_run"}
    return Offer(targets, _HINT_DRY, sealed, _repeated(change.door, tool, meant, sealed))


async def _hold(change: Change, decision: Decision) -> tuple[Targets, Decision]:
    """The targets, and the decision on all that they reach. Raises NotAllowedError where they reach outside policy."""
    targets = await change.find_targets()
    change.entry.targets, change.entry.affected = targets.ids, targets.count
    policy, asker = change.door.policy, change.door.asker(change.caller)
    wider = decide_call(policy, change.tool, targets.effects, asker)
    if not wider.allowed:
        raise refusal(policy, change.tool, wider, asker)
    return targets, stricter(decision, wider)


def _over_cap(tool: Tool, targets: Targets, decision: Decision) -> str:
    """Why max_affected refuses these targets, or nothing."""
    if decision.max_affected is None:
        return ""
    if tool.entry.preview is None and any(None in effect.touched.values() for effect in targets.effects):
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


def _wider_calls(tool: Tool, arguments: Json) -> list[NextCall]:
    """The call that finds something where only what failed was looked at."""
    takes = any(use.name == "only_failed" for use in tool.entry.params)
    if not takes or not arguments.get("only_failed", True):
        return []
    return [next_call(tool.name, "counts what did not fail too", **arguments | {"only_failed": False})]


async def _ask(change: Change, targets: Targets) -> str:
    """The answer's name, to be used once. Raises NotAllowedError for any answer but yes."""
    version = await change.door.version(change.caller)
    bound = await change.bound(targets)
    text = await _question(change, targets)
    answer = await change.caller.ask(Question(text, change.guard.plans.digest(json.dumps(asdict(bound)))))
    if not answer.yes:
        raise NotAllowedError(f"Nothing was done: the user's answer was {answer.words!r}.")
    # Where an answer has a name, the whole call ran again with it, so that the targets are those of now.
    if not answer.once and (await change.find_targets()).ids != targets.ids:
        raise NotAllowedError("Nothing was done: the targets changed while the user was asked. Call again.")
    if await change.door.version(change.caller) != version:
        raise NotAllowedError("Nothing was done: Airflow was upgraded while the user was asked. Call again.")
    return answer.once


async def _question(change: Change, targets: Targets) -> str:
    """What a human is asked: what, where, for whom, with what, which objects, and what cannot be undone."""
    door, tool, arguments, caller = change.door, change.tool, change.arguments, change.caller
    where = "" if door.instance == "default" else f" on {door.instance}"
    sent = spelt_out(tool, arguments, caller.name, await door.version(caller))
    of_call = set(named(door, tool, arguments))  # stands among the arguments
    limit = ExcerptRoom(2 * QUESTION_SIZE)  # masked, it may be shorter
    approval = Approval(
        head=f"{tool.entry.title}{where}: {targets.count} affected.",
        where=f"Tool {tool.name}, on the Airflow {door.instance} ({door.client.url}), for the caller {caller.name}.",
        arguments=sent,
        masked=shown(tool, sent, door.catalog, limit),
        is_whole=not (limit.cut or limit.too_deep),
        targets=[target for target in targets.ids if target not in of_call],
        lost=tool.entry.lost,
    )
    return question(approval, lambda text: change.guard.plans.digest(text)[:6])


def _repeated(door: Operations, tool: Tool, arguments: Json, plan: str) -> list[NextCall]:
    """The same call with its plan, where its arguments may be shown."""
    if not is_repeatable(tool, arguments, door.catalog):
        return []
    return [next_call(tool.name, "does exactly what the preview shows", **arguments | {"plan": plan})]


def _preview(tool: Tool, calls: list[NextCall], targets: Targets, plan: str, room: Room) -> Json:
    frame: Json = {"preview": {}, "plan": plan, "hint": _HINT, **({"next": calls} if calls else {})}
    size = max(room.budget - len(render.dumps(frame)), SMALLEST_ANSWER)
    extra: Json = {"affected": targets.count}
    if tool.entry.lost:
        extra["lost"] = tool.entry.lost
    reply = targets.reply
    if reply is None or reply.rows is None:
        ids = [show_id(one) for one in targets.ids]
        shown = render.fit(extra | {"targets": ids} | targets.facts, budget=size, ceiling=room.ceiling)
    else:
        rows, extra = len(reply.rows), extra | targets.facts
        shown = render.list_answer(
            reply.rows, reply.record, total=rows, paged=False, budget=size, ceiling=room.ceiling, extra=extra
        )
    shown.pop("more", None)  # a larger answer would be another plan's; dry_run shows them all
    return frame | {"preview": shown}
