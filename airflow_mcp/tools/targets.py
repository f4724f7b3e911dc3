"""What a changing call would touch, worked out before anything happens: by Airflow's dry run, or else by a read."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Tool
from airflow_mcp.policy.decide import Touched, decide, touched_by
from airflow_mcp.tools.caller import Caller
from airflow_mcp.tools.operate import Operations
from airflow_mcp.tools.reply import Reply


@dataclass(frozen=True)
class Targets:
    """The objects of one call: `ids` name each, `reply` or `facts` show them, `touched` is what policy decides on."""

    ids: tuple[str, ...]
    count: int
    touched: Touched
    reply: Reply | None
    facts: Json


async def work_out(door: Operations, tool: Tool, arguments: Json, caller: Caller) -> Targets:
    """The targets of this call as they are now. Raises NotFoundError where there is nothing to touch."""
    touched = touched_by(tool, arguments)
    match tool.entry.preview:
        case "flag":
            reply = await door.operate(tool, {**arguments, "dry_run": True}, caller)
            rows = reply.rows or []
            ids = tuple(sorted(_name(row) for row in rows))
            touched = touched | reached(touched, rows)
            return Targets(ids, len(ids), touched, reply, {})
        case "read":
            facts: Json = {}
            totals: list[str] = []
            count = 1
            for name in tool.entry.shows:
                shown = door.catalog.operations[name]
                known = {use.name for use in shown.entry.params}
                ids = {key: arguments[key] for key in arguments if key in known}
                reply = await door.operate(shown, ids, caller)
                count += reply.total or 0  # a cap counts what goes along, though the caller may not see it
                if not decide(door.policy, shown, touched_by(shown, ids), door.asker(caller)).allowed:
                    totals.append(f"{name}: not shown")
                elif reply.one is not None:
                    kept = (field for field in reply.record.keep if reply.one.get(field) is not None)
                    facts |= {field: reply.one[field] for field in kept}
                else:
                    facts[shown.entry.rows or name] = reply.total
                    totals += [f"{shown.entry.rows}: {reply.total}", *(_name(row) for row in reply.rows or [])]
            named = tuple(f"{key}={facts.get(key, value)}" for key, value in sorted(arguments.items()) if key != "plan")
            return Targets((*named, *totals), count, touched, None, facts)
        case None:
            ids = tuple(sorted(f"{noun} {one}" for noun, ones in touched.items() for one in ones or ("~",)))
            return Targets(ids or (tool.name,), 1, touched, None, {})


def reached(touched: Touched, rows: list[Json]) -> Touched:
    """What is touched, with the DAGs of the rows that a dry run found: dependent tasks stand in other DAGs too."""
    dags = frozenset(str(row["dag_id"]) for row in rows if row.get("dag_id"))
    return {"dag": dags | (touched.get("dag") or frozenset())} if dags else {}


def _name(row: Json) -> str:
    index = row.get("map_index")
    place = "/".join(str(row[key]) for key in ("dag_id", "dag_run_id", "task_id") if row.get(key) is not None)
    return place if index is None else f"{place}[{index}]"
