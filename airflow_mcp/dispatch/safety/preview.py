"""What a changing call would touch, worked out before anything happens: by Airflow's dry run, or else by a read."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Tool
from airflow_mcp.dispatch.answer.render import CELL
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.operations.bulk import find_targets
from airflow_mcp.dispatch.operations.dag_filters import is_by_row, shared_arguments
from airflow_mcp.dispatch.operations.executor import Operations
from airflow_mcp.dispatch.operations.handlers import Read, add_to_rows
from airflow_mcp.dispatch.operations.result import NAME_FIELDS, Reply, dags_of, name_of
from airflow_mcp.dispatch.safety.masked_arguments import shown
from airflow_mcp.dispatch.workflow_context import InnerDoor, Room
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


async def work_out(door: Operations, tool: Tool, arguments: Json, caller: Caller) -> Targets:
    """The targets of this call as they are now. Raises NotFoundError where there is nothing to touch."""
    effects = await door.effects(tool, arguments, caller, shown=True)
    if is_by_row(tool, effects, door.catalog):
        return Targets(names_in(effects), len(effects), effects, None, {})
    match tool.entry.preview:
        case "flag":
            facts: Json = {}
            if tool.entry.python:
                reply, facts = await _of_composite(door, tool, arguments, caller)
            else:
                reply = await door.operate(tool, {**arguments, "dry_run": True}, caller, NAME_FIELDS, size=4 * CELL)
                reply = await add_to_rows(Read(door, tool, arguments, caller, None), reply)
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
            version = await door.version(caller)
            count = 0
            for name in tool.entry.shows:
                step = door.catalog.operations[name]
                ids = shared_arguments(tool, step, arguments, version)
                reply = await door.operate(step, ids, caller)
                # A cap counts what goes along, though the caller may not see it.
                count += 1 if reply.rows is None else reply.total or 0
                known = effects[0].touched
                seen: Touched = {noun: own or known.get(noun) for noun, own in touched_by(step, ids).items()}
                within = Within(tool, effects) if tool.is_vehicle else None
                decision = decide(door.policy, Effect(step, seen), door.asker(caller), within)
                if not decision.allowed or decision.by_row:
                    totals.append(f"{name}: not shown")
                elif reply.one is not None:
                    kept = (field for field in reply.record.keep if reply.one.get(field) is not None)
                    facts |= {field: reply.one[field] for field in kept}
                else:
                    facts[step.entry.rows or name] = reply.total
                    totals += [f"{step.entry.rows}: {reply.total}", *(name_of(row) for row in reply.rows or [])]
            return Targets((*named(door, tool, arguments), *totals), count, effects, None, facts)
        case "itself":
            return Targets(named(door, tool, arguments), 1, effects, None, {})
        case "bulk":
            ids, count, held = await find_targets(door, tool, arguments, caller)
            return Targets(ids, count, effects, None, {"now": held} if held else {})
        case None:
            ids = names_in(effects) or (tool.name,)
            return Targets(ids, len(ids), effects, None, {})


def named(door: Operations, tool: Tool, arguments: Json) -> tuple[str, ...]:
    """What a call names, in its own arguments, without secrets."""
    return tuple(f"{key}={value}" for key, value in sorted(shown(tool, arguments, door.catalog).items()))


async def _of_composite(door: Operations, tool: Tool, arguments: Json, caller: Caller) -> tuple[Reply, Json]:
    """A composite with a dry run has `targets` beside `run`: its rows, and facts that are shown with them."""
    find = import_module(f"airflow_mcp.workflows.{tool.name}").targets
    within = Within(tool, effects_of(tool, arguments))
    inner = InnerDoor(door, within, caller, await door.version(caller), Room(0, 0))
    rows, facts = await find(inner, arguments)
    return Reply(rows, len(rows), None, door.catalog.records["task_instance"]), facts
