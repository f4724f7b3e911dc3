"""Preview of a changing call: its targets, found before the change by Airflow's dry run, or else by a read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Catalog
from airflow_mcp.dispatch.answer.render import CELL
from airflow_mcp.dispatch.call import Call
from airflow_mcp.dispatch.operations.bulk import find_targets
from airflow_mcp.dispatch.operations.dag_filters import is_by_row, select_arguments
from airflow_mcp.dispatch.operations.executor import OperationExecutor
from airflow_mcp.dispatch.operations.handlers import Read, add_to_rows
from airflow_mcp.dispatch.operations.result import NAME_FIELDS, OperationResult, collect_dag_ids, name_target
from airflow_mcp.dispatch.safety.masked_arguments import mask_call_arguments
from airflow_mcp.dispatch.workflow_context import Workflow, WorkflowContext
from airflow_mcp.policy.decision import ParentCall, decide
from airflow_mcp.policy.effects import (
    Effect,
    TargetIds,
    derive_effects,
    extend_to_dags,
    find_target_ids,
    list_target_names,
)
from airflow_mcp.time_slice import iterate_in_slices


@dataclass(frozen=True)
class Preview:
    """The objects of one call: `ids` name each, `reply` or `facts` show them, and policy decides on `effects`."""

    ids: tuple[str, ...]
    count: int
    effects: tuple[Effect, ...]
    reply: OperationResult | None
    facts: Json


async def preview_change(executor: OperationExecutor, call: Call, workflow: Workflow | None) -> Preview:
    """Return the targets of this call as they are now; `workflow` is the tool's own, where it has one.

    Raises NotFoundError where there is nothing to touch.
    """
    tool, arguments = call.tool, call.arguments
    effects = await executor.resolve_effects(call, need_ids=True)
    if is_by_row(tool, effects, executor.catalog):
        return Preview(list_target_names(effects), len(effects), effects, None, {})
    match tool.entry.preview:
        case "flag":
            facts: Json = {}
            if workflow:
                reply, facts = await _of_workflow(executor, call, workflow)
            else:
                dry_call = call.step(tool, {**arguments, "dry_run": True}, NAME_FIELDS)
                reply = await executor.operate(dry_call, size=4 * CELL)
                reply = await add_to_rows(Read(executor, call, None), reply)
                facts = {"note": reply.note} if reply.note else {}
            if tool.entry.counts:
                numbers = {name: (reply.single or {}).get(name) or 0 for name in tool.entry.counts}
                ids = tuple(f"{name}: {number}" for name, number in numbers.items())
                return Preview(ids, sum(numbers.values()), effects, reply, numbers)
            rows = [reply.single] if reply.rows is None and reply.single else reply.rows or []
            ids = tuple(sorted([name_target(row) async for row in iterate_in_slices(rows)]))
            return Preview(ids, len(ids), extend_to_dags(effects, collect_dag_ids(rows)), reply, facts)
        case "read":
            facts = {}
            totals: list[str] = []
            version = await executor.find_version(call)
            count = 0
            for name in tool.entry.shows:
                step = executor.catalog.operations[name]
                ids = select_arguments(tool, step, arguments, version)
                reply = await executor.operate(call.step(step, ids))
                # A cap counts dependent objects too, even those that the caller may not see.
                count += 1 if reply.rows is None else reply.total or 0
                call_ids = effects[0].target_ids
                step_ids: TargetIds = {
                    noun: value or call_ids.get(noun) for noun, value in find_target_ids(step, ids).items()
                }
                parent = ParentCall(tool, effects) if tool.is_vehicle else None
                decision = decide(call.policy, Effect(step, step_ids), call.principal, parent)
                if not decision.allowed or decision.by_row:
                    totals.append(f"{name}: not shown")
                elif reply.single is not None:
                    filled_names = (field for field in reply.record.keep if reply.single.get(field) is not None)
                    facts |= {field: reply.single[field] for field in filled_names}
                else:
                    facts[step.entry.rows or name] = reply.total
                    totals += [f"{step.entry.rows}: {reply.total}", *(name_target(row) for row in reply.rows or [])]
            return Preview((*name_targets(call, executor.catalog), *totals), count, effects, None, facts)
        case "itself":
            return Preview(name_targets(call, executor.catalog), 1, effects, None, {})
        case "bulk":
            ids, count, current_values = await find_targets(executor, call)
            return Preview(ids, count, effects, None, {"now": current_values} if current_values else {})
        case None:
            ids = list_target_names(effects) or (tool.name,)
            return Preview(ids, len(ids), effects, None, {})


def name_targets(call: Call, catalog: Catalog) -> tuple[str, ...]:
    """Return a call's own arguments as names of its targets, without secrets."""
    return tuple(
        f"{key}={value}" for key, value in sorted(mask_call_arguments(call.tool, call.arguments, catalog).items())
    )


async def _of_workflow(executor: OperationExecutor, call: Call, workflow: Workflow) -> tuple[OperationResult, Json]:
    """Return the rows of a workflow with a dry run, and the facts that are shown with them."""
    assert workflow.targets is not None
    parent = ParentCall(call.tool, derive_effects(call.tool, call.arguments))
    context = WorkflowContext(executor, replace(call, parent=parent), await executor.find_version(call))
    rows, facts = await workflow.targets(context, call.arguments)
    return OperationResult(rows, len(rows), None, executor.catalog.records["task_instance"]), facts
