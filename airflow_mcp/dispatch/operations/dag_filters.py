"""Changes of every DAG that fits some filters: which DAGs those are, and the change of each by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.operations.result import OperationResult
from airflow_mcp.errors import AirflowError, AirflowMcpError, InvalidArgumentsError
from airflow_mcp.policy.decision import ParentCall, decide, decide_call
from airflow_mcp.policy.effects import Effect, find_target_ids

if TYPE_CHECKING:
    from airflow_mcp.dispatch.call import Call
    from airflow_mcp.dispatch.operations.executor import OperationExecutor


def find_listing(tool: Tool, catalog: Catalog) -> Tool | None:
    """The list to each row of which a tool's effect is done."""
    arguments = {use.name for use in tool.entry.params}
    each = next((use.each for use in tool.entry.effects if use.each and use.each not in arguments), "")
    return catalog.operations[each] if each else None


def is_by_row(tool: Tool, effects: tuple[Effect, ...], catalog: Catalog) -> bool:
    """Whether these are the effects of such a tool on DAGs that are known."""
    return find_listing(tool, catalog) is not None and all(effect.target_ids.get("dag") for effect in effects)


def select_arguments(tool: Tool, step: Tool, arguments: Json, version: Version) -> Json:
    """Those of a call's arguments that a step takes too: of the same name, and ids of its route or described alike.

    A `state` to set is no `state` to filter by; an XCom's key is the same one though a read may leave it out.
    """
    known = {(use.name, use.table) for use in step.entry.params if use.in_schema(version)}
    route = step.entry.route(version.generation)
    ids = route.slots if route else ()
    same = (use.name for use in tool.entry.params if use.name in ids or (use.name, use.table) in known)
    return {name: arguments[name] for name in same if name in arguments}


async def resolve_row_effects(
    executor: OperationExecutor, call: Call, listing: Tool, effects: tuple[Effect, ...]
) -> tuple[Effect, ...]:
    """The effect on each DAG that fits, where policy allows some and not all; else `effects` as they are.

    They stay so where nothing fits too: who may not see a DAG does not learn whether there is one. Raises
    InvalidArgumentsError for more than one page, since a later page could be another list's.
    """
    tool, policy, principal = call.tool, call.policy, call.principal
    asked = select_arguments(tool, listing, call.arguments, await executor.find_version(call))
    rows = Effect(listing, find_target_ids(listing, asked))
    if (
        "~" in call.arguments.values()  # Airflow 2 takes it for every DAG where it changes, but not where it lists
        or decide_call(policy, tool, effects, principal).allowed
        or not decide(policy, rows, principal, ParentCall(tool, effects)).allowed
    ):
        return effects
    reply = await executor.operate(call.step(listing, asked))
    found = reply.rows or []
    if (reply.total or 0) > len(found):
        raise InvalidArgumentsError(
            f"{tool.name}: more than {len(found)} DAGs fit, and where rules are about DAGs no more are decided in one "
            "call. Nothing was changed; narrow the filters."
        )
    ids = [str(row["dag_id"]) for row in found]
    each = [
        replace(effect, target_ids={"dag": frozenset({dag_id})}, arguments={"dag_id": dag_id})
        for effect in effects
        for dag_id in ids
    ]
    return tuple(each) or effects


async def operate_each(executor: OperationExecutor, call: Call) -> OperationResult:
    """Have each effect by itself, so that no DAG is reached which was not decided: one may fit since.

    Raises what the first raises, and AirflowError for a later one, with what was done before.
    """
    effects = call.effects
    replies: list[OperationResult] = []
    for effect in effects:
        try:
            replies.append(await executor.operate(call.step(effect.tool, effect.arguments)))
        except AirflowMcpError as error:
            if not replies:
                raise
            done = ", ".join(str(one.arguments["dag_id"]) for one in effects[: len(replies)])
            status = error.status if isinstance(error, AirflowError) else 0
            sentence = f"{error} Of {len(effects)} DAGs, {effect.tool.name} was done to these before that: {done}."
            failure = AirflowError(sentence, status)
            failure.answered, failure.outcome = error.answered, error.outcome
            raise failure from None
    rows = [reply.single or effect.arguments for reply, effect in zip(replies, effects, strict=True)]
    hints = dict.fromkeys(reply.hint for reply in replies if reply.hint)
    whole = OperationResult(rows, len(rows), None, executor.catalog.records[call.tool.entry.record or ""])
    return replace(whole, status=replies[-1].status, hint=" ".join(hints))
