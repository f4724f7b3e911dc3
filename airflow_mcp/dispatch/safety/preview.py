"""What a changing call would touch, worked out before anything happens: by Airflow's dry run, or else by a read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Catalog
from airflow_mcp.dispatch.answer.render import CELL
from airflow_mcp.dispatch.call import Call
from airflow_mcp.dispatch.operations.bulk import find_targets
from airflow_mcp.dispatch.operations.dag_filters import is_by_row, shared_arguments
from airflow_mcp.dispatch.operations.executor import Operations
from airflow_mcp.dispatch.operations.handlers import Read, add_to_rows
from airflow_mcp.dispatch.operations.result import NAME_FIELDS, Reply, dags_of, name_of
from airflow_mcp.dispatch.safety.masked_arguments import shown
from airflow_mcp.dispatch.workflow_context import InnerDoor, Workflow
from airflow_mcp.pace import paced
from airflow_mcp.policy.decide import Within, decide
from airflow_mcp.policy.effects import Effect, Touched, effects_of, names_in, reaching, touched_by


@dataclass(frozen=True)
class Targets:
    """The objects of one call: `ids` name each, `reply` or `facts` show them, `effects` is what policy decides on."""

    ids: tuple[str, ...]
    count: int
    effects: tuple[Effect, ...]
    reply: Reply | None
    facts: Json


async def work_out(executor: Operations, call: Call, workflow: Workflow | None) -> Targets:
    """The targets of this call as they are now; `workflow` is the tool's own, where it is one.

    Raises NotFoundError where there is nothing to touch.
    """
    tool, arguments = call.tool, call.arguments
    effects = await executor.effects(call, shown=True)
    if is_by_row(tool, effects, executor.catalog):
        return Targets(names_in(effects), len(effects), effects, None, {})
    match tool.entry.preview:
        case "flag":
            facts: Json = {}
            if workflow:
                reply, facts = await _of_workflow(executor, call, workflow)
            else:
                dry = call.step(tool, {**arguments, "dry_run": True}, NAME_FIELDS)
                reply = await executor.operate(dry, size=4 * CELL)
                reply = await add_to_rows(Read(executor, call, None), reply)
                facts = {"note": reply.note} if reply.note else {}
            if tool.entry.counts:
                numbers = {name: (reply.one or {}).get(name) or 0 for name in tool.entry.counts}
                ids = tuple(f"{name}: {number}" for name, number in numbers.items())
                return Targets(ids, sum(numbers.values()), effects, reply, numbers)
            rows = [reply.one] if reply.rows is None and reply.one else reply.rows or []
            ids = tuple(sorted([name_of(row) async for row in paced(rows)]))
            return Targets(ids, len(ids), reaching(effects, dags_of(rows)), reply, facts)
        case "read":
            facts = {}
            totals: list[str] = []
            version = await executor.version(call)
            count = 0
            for name in tool.entry.shows:
                step = executor.catalog.operations[name]
                ids = shared_arguments(tool, step, arguments, version)
                reply = await executor.operate(call.step(step, ids))
                # A cap counts what goes along, though the caller may not see it.
                count += 1 if reply.rows is None else reply.total or 0
                known = effects[0].touched
                seen: Touched = {noun: own or known.get(noun) for noun, own in touched_by(step, ids).items()}
                within = Within(tool, effects) if tool.is_vehicle else None
                decision = decide(call.policy, Effect(step, seen), call.principal, within)
                if not decision.allowed or decision.by_row:
                    totals.append(f"{name}: not shown")
                elif reply.one is not None:
                    kept = (field for field in reply.record.keep if reply.one.get(field) is not None)
                    facts |= {field: reply.one[field] for field in kept}
                else:
                    facts[step.entry.rows or name] = reply.total
                    totals += [f"{step.entry.rows}: {reply.total}", *(name_of(row) for row in reply.rows or [])]
            return Targets((*named(call, executor.catalog), *totals), count, effects, None, facts)
        case "itself":
            return Targets(named(call, executor.catalog), 1, effects, None, {})
        case "bulk":
            ids, count, held = await find_targets(executor, call)
            return Targets(ids, count, effects, None, {"now": held} if held else {})
        case None:
            ids = names_in(effects) or (tool.name,)
            return Targets(ids, len(ids), effects, None, {})


def named(call: Call, catalog: Catalog) -> tuple[str, ...]:
    """What a call names, in its own arguments, without secrets."""
    return tuple(f"{key}={value}" for key, value in sorted(shown(call.tool, call.arguments, catalog).items()))


async def _of_workflow(executor: Operations, call: Call, workflow: Workflow) -> tuple[Reply, Json]:
    """The rows of a workflow with a dry run, and facts that are shown with them."""
    assert workflow.targets is not None
    parent = Within(call.tool, effects_of(call.tool, call.arguments))
    context = InnerDoor(executor, replace(call, parent=parent), await executor.version(call))
    rows, facts = await workflow.targets(context, call.arguments)
    return Reply(rows, len(rows), None, executor.catalog.records["task_instance"]), facts
