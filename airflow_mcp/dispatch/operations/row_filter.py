"""Hide what policy denies from a read of many: a row that cannot be attributed to an allowed object is not shown."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.catalog.grammar import Json, Noun
from airflow_mcp.catalog.load import Tool
from airflow_mcp.dispatch.answer.normalize import WHOLE, texts_at
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.operations.dag_files import dags_by_file
from airflow_mcp.dispatch.operations.executor import PAGE, Operations
from airflow_mcp.dispatch.operations.handlers import HANDLERS, Read, add_to_rows
from airflow_mcp.dispatch.operations.result import Reply
from airflow_mcp.errors import InvalidArgumentsError, NotAllowedError
from airflow_mcp.policy.decide import Decision, decide, depends_on, refusal
from airflow_mcp.policy.effects import Effect, Touched, touched_by

_FIELDS: dict[Noun, str] = {"dag": "dag_id", "pool": "name", "variable": "key", "connection": "connection_id"}
_MOST_PAGES = 5  # requests to fill one answer


async def read_allowed(
    door: Operations,
    tool: Tool,
    arguments: Json,
    caller: Caller,
    decision: Decision,
    fields: tuple[str, ...] = ("*",),
    *,
    look_up: bool = True,
    size: int = WHOLE,
) -> Reply:
    """Operate, without the rows that the decision leaves to be decided and that are denied.

    What the entry's handler adds is added to the rows that are left.
    """
    handler = HANDLERS.get(tool.entry.after or "")
    fields = (*fields, *handler.needs) if handler else fields
    reply = await _read_allowed(door, tool, arguments, caller, decision, fields, look_up=look_up, size=size)
    return await add_to_rows(Read(door, tool, arguments, caller, decision.within), reply)


async def _read_allowed(
    door: Operations,
    tool: Tool,
    arguments: Json,
    caller: Caller,
    decision: Decision,
    fields: tuple[str, ...],
    *,
    look_up: bool,
    size: int,
) -> Reply:
    within = decision.within
    tools = (tool, within.tool, *(one.tool for one in within.effects)) if within else (tool,)
    on_dags = tool.entry.access == "read" and depends_on(door.policy, "dag", door.asker(caller), *tools)
    if on_dags and tool.entry.scope.dag and _dags_of(door, tool):  # rows that name other DAGs than the call does
        decision = replace(decision, by_row=decision.by_row | {"dag"})
    if decision.by_row:
        return await _hide_rows(door, tool, arguments, caller, fields, decision, size)
    if on_dags and tool.entry.scope.dag == "file":
        await _require_whole_file(door, tool, arguments["dag_id"], caller, decision)
    return await door.operate(tool, arguments, caller, fields, look_up=look_up, size=size)


async def _hide_rows(
    door: Operations,
    tool: Tool,
    arguments: Json,
    caller: Caller,
    fields: tuple[str, ...],
    decision: Decision,
    size: int,
) -> Reply:
    """The reply without what is denied, filled up from later pages in at most five requests.

    Raises NotAllowedError for one record that may not be seen.
    """
    limit, offset = arguments.get("limit", PAGE), arguments.get("offset", 0)
    if "cursor" in arguments:
        raise InvalidArgumentsError(f"{tool.name}: policy hides rows here, and then offset goes on, not cursor.")
    needed = (*fields, "filename", "bundle_name", *(_FIELDS[noun] for noun in decision.by_row))
    if _dags_of(door, tool):
        needed = ("*",)
    files = await dags_by_file(door, caller) if tool.entry.scope.dag == "file" else {}
    touched = touched_by(tool, arguments)
    seen: list[Json] = []
    after: list[int] = []
    pages = 0
    while True:
        asked = arguments | ({"offset": offset} if offset else {})
        reply = await door.operate(tool, asked, caller, needed, size=size)
        pages += 1
        if reply.rows is None:
            if reply.one is not None and not _may_see(door, tool, touched, reply.one, caller, decision, files):
                raise refusal(door.policy, tool, Decision(False, ("a rule about its DAG",)), door.asker(caller))
            return reply
        for row in reply.rows:
            offset += 1
            if _may_see(door, tool, touched, row, caller, decision, files):
                seen.append(row)
                after.append(offset)
                if len(seen) == limit:
                    break
        done = not reply.rows or offset >= (reply.total or 0)
        if done or len(seen) == limit or pages == _MOST_PAGES:
            ends = (*after, *([] if done else [offset]))
            return Reply(seen, None, None, reply.record, ends, status=reply.status)


def _may_see(
    door: Operations,
    tool: Tool,
    touched: Touched,
    row: Json,
    caller: Caller,
    decision: Decision,
    files: dict[tuple[str, str], set[str]],
) -> bool:
    """Whether a call that touches this row's ids, and else what the whole call does, is allowed."""
    for noun in decision.by_row:
        ids = frozenset({str(row[_FIELDS[noun]])} if row.get(_FIELDS[noun]) is not None else ())
        if noun == "dag" and tool.entry.scope.dag == "file":
            ids = frozenset(files.get((str(row.get("bundle_name") or ""), str(row.get("filename"))), ()))
        elif noun == "dag" and (paths := _dags_of(door, tool)):
            ids = texts_at(row, paths) | (touched.get("dag") or frozenset())
        if not ids:
            return False
        touched = {**touched, noun: frozenset(ids)}
    return decide(door.policy, Effect(tool, touched), door.asker(caller), decision.within).allowed


def _dags_of(door: Operations, tool: Tool) -> tuple[str, ...]:
    """Where a row names every DAG that it is about, for records that are about several.

    Not for what only composites ask: they leave out the names alone.
    """
    return door.catalog.records[tool.entry.record].dags if tool.entry.record and not tool.entry.part_of else ()


async def _require_whole_file(door: Operations, tool: Tool, dag_id: str, caller: Caller, decision: Decision) -> None:
    """Refuse a source file that also defines a DAG this caller may not see. Raises NotAllowedError."""
    asker = door.asker(caller)
    beside = [ids for ids in (await dags_by_file(door, caller)).values() if dag_id in ids]
    for ids in beside:
        found = decide(door.policy, Effect(tool, {"dag": frozenset(ids)}), asker, decision.within)
        if not found.allowed:
            raise refusal(door.policy, tool, found, asker)
    if not beside:
        raise NotAllowedError(f"Which DAGs stand in the file of {dag_id!r} cannot be told, so it is not shown.")
