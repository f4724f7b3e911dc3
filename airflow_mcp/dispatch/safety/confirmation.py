"""Before a change: its targets are worked out, held against policy and cap, and confirmed by a plan or by a human."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Tool
from airflow_mcp.catalog.schema import SMALLEST_ANSWER
from airflow_mcp.dispatch.answer import render
from airflow_mcp.dispatch.caller import Caller, Question
from airflow_mcp.dispatch.next_calls import NextCall, is_repeatable, next_call
from airflow_mcp.dispatch.operations.executor import Operations
from airflow_mcp.dispatch.safety.approval import Approval, question
from airflow_mcp.dispatch.safety.audit import Entry
from airflow_mcp.dispatch.safety.masked_arguments import shown, spelt_out
from airflow_mcp.dispatch.safety.plan_tokens import PLAN_SECONDS, Bound
from airflow_mcp.dispatch.safety.preview import Targets, named, work_out
from airflow_mcp.dispatch.safety.safeguards import Guard
from airflow_mcp.dispatch.workflow_context import Room
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.excerpt import show_id
from airflow_mcp.policy.decide import Decision, decide_call, depends_on, refusal, stricter
from airflow_mcp.policy.effects import Effect, strictest_class

_HINT = (
    "Nothing was changed. With this plan the same call does exactly what the preview shows; it is good once, for "
    f"{PLAN_SECONDS // 60} minutes."
)


@dataclass(frozen=True)
class Confirmation:
    """What came of asking: a preview to answer with, or the leave to act once `once` has been claimed."""

    preview: Json | None = None
    once: str = ""  # the plan or the answer that is used up by acting; empty where none was needed
    granted: tuple[Json, ...] = ()  # for a composite: the targets it may act on, in its order
    effects: tuple[Effect, ...] = ()  # as they were decided and confirmed; empty where that took no look


async def confirm(
    door: Operations,
    guard: Guard,
    tool: Tool,
    arguments: Json,
    caller: Caller,
    decision: Decision,
    entry: Entry,
    room: Room,
) -> Confirmation:
    """Work out the targets, hold them against policy and cap, and have them confirmed.

    Raises NotAllowedError when the targets reach outside policy or over the cap, or the confirmation is refused.
    """
    asker = door.asker(caller)
    reaches = tool.entry.preview == "flag" and depends_on(door.policy, "dag", asker, tool, *tool.effects)  # other DAGs
    by_grant = tool.entry.python and tool.entry.preview == "flag"
    if decision.confirm == "never" and decision.max_affected is None and not reaches and not by_grant:
        return Confirmation()
    targets = await work_out(door, tool, arguments, caller)
    entry.targets, entry.affected = targets.ids, targets.count
    wider = decide_call(door.policy, tool, targets.effects, asker)
    if not wider.allowed:
        raise refusal(door.policy, tool, wider, asker)
    decision = stricter(decision, wider)
    if targets.count == 0:
        raise NotAllowedError(f"{tool.name}: nothing matches, so there is nothing to do and nothing was changed.")
    unknown = tool.entry.preview is None and any(None in effect.touched.values() for effect in targets.effects)
    if decision.max_affected is not None and unknown:
        raise NotAllowedError(
            f"{tool.name}: how many objects this reaches cannot be told beforehand, and max_affected limits it. "
            "Nothing was done; name each of them."
        )
    if decision.max_affected is not None and targets.count > decision.max_affected:
        raise NotAllowedError(
            f"{tool.name} would touch {targets.count} objects; {decision.max_affected} are allowed in one call "
            "(max_affected). Nothing was done; ask for fewer."
        )
    granted = tuple(targets.reply.rows or ()) if by_grant and targets.reply else ()
    match decision.confirm:
        case "never":
            return Confirmation(granted=granted, effects=targets.effects)
        case "plan":
            version = str(await door.version(caller))
            bound = Bound.of(tool.name, arguments, targets.ids, caller.name, door.instance, version)
            if presented := arguments.get("plan"):
                entry.plan = guard.plans.open(presented, bound)
                return Confirmation(once=entry.plan, granted=granted, effects=targets.effects)
            entry.plan, sealed = guard.plans.seal(bound)
            entry.decision = "previewed"
            return Confirmation(preview=_preview(tool, _repeated(door, tool, arguments, sealed), targets, sealed, room))
        case "human":
            # Nobody is asked for what is then refused.
            await guard.rates.require(caller.name, strictest_class(targets.effects))
            entry.decision = "asked"
            answer = await _ask(door, guard, tool, arguments, caller, targets)
            return Confirmation(once=answer, granted=granted, effects=targets.effects)


async def _ask(door: Operations, guard: Guard, tool: Tool, arguments: Json, caller: Caller, targets: Targets) -> str:
    """The answer's name, to be used once. Raises NotAllowedError for any answer but yes."""
    version = await door.version(caller)
    bound = Bound.of(tool.name, arguments, targets.ids, caller.name, door.instance, str(version))
    text = await _question(door, guard, tool, arguments, caller, targets)
    answer = await caller.ask(Question(text, guard.plans.digest(json.dumps(asdict(bound)))))
    if not answer.yes:
        raise NotAllowedError(f"Nothing was done: the user's answer was {answer.words!r}.")
    # Where an answer has a name, the whole call ran again with it, so that the targets are those of now.
    if not answer.once and (await work_out(door, tool, arguments, caller)).ids != targets.ids:
        raise NotAllowedError("Nothing was done: the targets changed while the user was asked. Call again.")
    if await door.version(caller) != version:
        raise NotAllowedError("Nothing was done: Airflow was upgraded while the user was asked. Call again.")
    return answer.once


async def _question(
    door: Operations, guard: Guard, tool: Tool, arguments: Json, caller: Caller, targets: Targets
) -> str:
    """What a human is asked: what, where, for whom, with what, which objects, and what cannot be undone."""
    where = "" if door.instance == "default" else f" on {door.instance}"
    sent = spelt_out(tool, arguments, caller.name, await door.version(caller))
    of_call = set(named(door, tool, arguments))  # stands among the arguments
    approval = Approval(
        head=f"{tool.entry.title}{where}: {targets.count} affected.",
        where=f"Tool {tool.name}, on the Airflow {door.instance} ({door.client.url}), for the caller {caller.name}.",
        arguments=sent,
        masked=shown(tool, sent, door.catalog),
        targets=[target for target in targets.ids if target not in of_call],
        lost=tool.entry.lost,
    )
    return question(approval, lambda text: guard.plans.digest(text)[:6])


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
