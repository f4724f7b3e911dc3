"""Changes of all DAGs that match filters: find these DAGs, and change each one by itself."""

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
    """Return the list operation to each of whose rows a tool's effect applies; None for other tools."""
    arguments = {use.name for use in tool.entry.params}
    listing_name = next((use.each for use in tool.entry.effects if use.each and use.each not in arguments), "")
    return catalog.operations[listing_name] if listing_name else None


def is_by_row(tool: Tool, effects: tuple[Effect, ...], catalog: Catalog) -> bool:
    """Tell whether a tool changes the rows of a list and every effect states its DAGs."""
    return find_listing(tool, catalog) is not None and all(effect.target_ids.get("dag") for effect in effects)


def select_arguments(tool: Tool, step: Tool, arguments: Json, version: Version) -> Json:
    """Return those arguments of a call that mean the same in a step: ids of its route, or parameters of equal type.

    Equal names are not enough: a `state` to set is no `state` to filter by. An XCom's key is the same argument,
    although it is optional for a read.
    """
    parameters = {(use.name, use.table) for use in step.entry.params if use.in_schema(version)}
    route = step.entry.route(version.generation)
    ids = route.slots if route else ()
    names = (use.name for use in tool.entry.params if use.name in ids or (use.name, use.table) in parameters)
    return {name: arguments[name] for name in names if name in arguments}


async def resolve_row_effects(
    executor: OperationExecutor, call: Call, listing: Tool, effects: tuple[Effect, ...]
) -> tuple[Effect, ...]:
    """Return one effect for each DAG that matches, where policy allows some DAGs but not all; else `effects`.

    `effects` are returned when no DAG matches too, so that a principal who may not see a DAG does not learn whether it
    exists. Raises InvalidArgumentsError for more than one page: the list may change between two pages.
    """
    tool, policy, principal = call.tool, call.policy, call.principal
    filters = select_arguments(tool, listing, call.arguments, await executor.find_version(call))
    rows = Effect(listing, find_target_ids(listing, filters))
    if (
        "~" in call.arguments.values()  # Airflow 2 accepts it as every DAG in a change, but not in a list
        or decide_call(policy, tool, effects, principal).allowed
        or not decide(policy, rows, principal, ParentCall(tool, effects)).allowed
    ):
        return effects
    reply = await executor.operate(call.step(listing, filters))
    dags = reply.rows or []
    if (reply.total or 0) > len(dags):
        raise InvalidArgumentsError(
            f"{tool.name}: more than {len(dags)} DAGs fit, and where rules are about DAGs no more are decided in one "
            "call. Nothing was changed; narrow the filters."
        )
    ids = [str(row["dag_id"]) for row in dags]
    row_effects = [
        replace(effect, target_ids={"dag": frozenset({dag_id})}, arguments={"dag_id": dag_id})
        for effect in effects
        for dag_id in ids
    ]
    return tuple(row_effects) or effects


async def operate_each(executor: OperationExecutor, call: Call) -> OperationResult:
    """Apply each effect by itself, so that only DAGs that policy has decided on change: more may match by now.

    Raises the error of the first effect as it is; when a later effect fails, AirflowError with what was done before.
    """
    effects = call.effects
    replies: list[OperationResult] = []
    for effect in effects:
        try:
            replies.append(await executor.operate(call.step(effect.tool, effect.arguments)))
        except AirflowMcpError as error:
            if not replies:
                raise
            done_ids = ", ".join(str(effect_done.arguments["dag_id"]) for effect_done in effects[: len(replies)])
            status = error.status if isinstance(error, AirflowError) else 0
            sentence = f"{error} Of {len(effects)} DAGs, {effect.tool.name} was done to these before that: {done_ids}."
            failure = AirflowError(sentence, status)
            failure.answered, failure.outcome = error.answered, error.outcome
            raise failure from None
    rows = [reply.single or effect.arguments for reply, effect in zip(replies, effects, strict=True)]
    hints = dict.fromkeys(reply.hint for reply in replies if reply.hint)
    result = OperationResult(rows, len(rows), None, executor.catalog.records[call.tool.entry.record or ""])
    return replace(result, status=replies[-1].status, hint=" ".join(hints))
