"""Hide the rows of a list that policy denies, including those that name no object that policy could decide on."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.catalog.grammar import Json, Noun
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.dispatch.answer.normalize import FULL_SIZE, collect_texts
from airflow_mcp.dispatch.call import ALL_FIELDS, Call
from airflow_mcp.dispatch.operations.dag_files import map_files_to_dags
from airflow_mcp.dispatch.operations.executor import PAGE, OperationExecutor
from airflow_mcp.dispatch.operations.handlers import HANDLERS, Read, add_to_rows
from airflow_mcp.dispatch.operations.result import OperationResult
from airflow_mcp.errors import InvalidArgumentsError, NotAllowedError
from airflow_mcp.policy.decision import Decision, build_refusal, decide, depends_on
from airflow_mcp.policy.effects import Effect, TargetIds, find_target_ids

_FIELDS: dict[Noun, str] = {"dag": "dag_id", "pool": "name", "variable": "key", "connection": "connection_id"}
_MOST_PAGES = 5  # requests to fill one page


async def read_allowed(
    executor: OperationExecutor, call: Call, decision: Decision, *, look_up: bool = True, size: int = FULL_SIZE
) -> OperationResult:
    """Execute a read without the rows that policy denies, where the decision is made by row.

    The entry's handler adds its fields to the remaining rows.
    """
    handler = HANDLERS.get(call.tool.entry.after or "")
    wider_call = replace(call, fields=(*call.fields, *handler.needs)) if handler else call
    reply = await _read_allowed(executor, wider_call, decision, look_up=look_up, size=size)
    return await add_to_rows(Read(executor, call, decision.parent), reply)


async def _read_allowed(
    executor: OperationExecutor, call: Call, decision: Decision, *, look_up: bool, size: int
) -> OperationResult:
    tool, parent = call.tool, decision.parent
    tools = (tool, parent.tool, *(one.tool for one in parent.effects)) if parent else (tool,)
    on_dags = not call.changes and depends_on(call.policy, "dag", call.principal, *tools)
    if (
        on_dags and tool.entry.scope.dag and _find_dag_paths(executor, tool)
    ):  # rows that name other DAGs than the call does
        decision = replace(decision, by_row=decision.by_row | {"dag"})
    if decision.by_row:
        return await _hide_rows(executor, call, decision, size)
    if on_dags and tool.entry.scope.dag == "file":
        await _require_whole_file(executor, call, decision)
    return await executor.operate(call, look_up=look_up, size=size)


async def _hide_rows(executor: OperationExecutor, call: Call, decision: Decision, size: int) -> OperationResult:
    """Return the reply without denied rows, filled from later pages in at most five requests.

    Raises NotAllowedError when the reply is a single record that policy denies.
    """
    tool, arguments = call.tool, call.arguments
    limit, offset = arguments.get("limit", PAGE), arguments.get("offset", 0)
    if "cursor" in arguments:
        raise InvalidArgumentsError(f"{tool.name}: policy hides rows here, and then offset goes on, not cursor.")
    needed_fields = (*call.fields, "filename", "bundle_name", *(_FIELDS[noun] for noun in decision.by_row))
    if paths := _find_dag_paths(executor, tool):
        needed_fields = ALL_FIELDS
    files = await map_files_to_dags(executor, call) if tool.entry.scope.dag == "file" else {}
    target_ids = find_target_ids(tool, arguments)
    visible_rows: list[Json] = []
    row_offsets: list[int] = []
    pages = 0
    while True:
        page_arguments = arguments | ({"offset": offset} if offset else {})
        reply = await executor.operate(call.step(tool, page_arguments, needed_fields), size=size)
        pages += 1
        if reply.rows is None:
            if reply.single is not None and not _may_see(call, target_ids, reply.single, decision, files, paths):
                raise build_refusal(call.policy, tool, Decision(False, ("a rule about its DAG",)), call.principal)
            return reply
        for row in reply.rows:
            offset += 1
            if _may_see(call, target_ids, row, decision, files, paths):
                visible_rows.append(row)
                row_offsets.append(offset)
                if len(visible_rows) == limit:
                    break
        is_last_page = not reply.rows or offset >= (reply.total or 0)
        if is_last_page or len(visible_rows) == limit or pages == _MOST_PAGES:
            offsets = (*row_offsets, *([] if is_last_page else [offset]))
            return OperationResult(visible_rows, None, None, reply.record, offsets, status=reply.status)


def _may_see(
    call: Call,
    target_ids: TargetIds,
    row: Json,
    decision: Decision,
    files: dict[tuple[str, str], set[str]],
    paths: tuple[str, ...],
) -> bool:
    """Tell whether policy allows the call with this row's ids in place of the call's own.

    `paths` are the fields in which a row names its DAGs, for records that concern several.
    """
    tool = call.tool
    for noun in decision.by_row:
        ids = frozenset({str(row[_FIELDS[noun]])} if row.get(_FIELDS[noun]) is not None else ())
        if noun == "dag" and tool.entry.scope.dag == "file":
            ids = frozenset(files.get((str(row.get("bundle_name") or ""), str(row.get("filename"))), ()))
        elif noun == "dag" and paths:
            ids = collect_texts(row, paths) | (target_ids.get("dag") or frozenset())
        if not ids:
            return False
        target_ids = {**target_ids, noun: frozenset(ids)}
    return decide(call.policy, Effect(tool, target_ids), call.principal, decision.parent).allowed


def _find_dag_paths(executor: OperationExecutor, tool: Tool) -> tuple[str, ...]:
    """Return the paths of the fields in which a row names its DAGs, for records that concern several.

    Empty for operations that only workflows use: these hide the names, not the rows.
    """
    return executor.catalog.records[tool.entry.record].dags if tool.entry.record and not tool.entry.part_of else ()


async def _require_whole_file(executor: OperationExecutor, call: Call, decision: Decision) -> None:
    """Raise NotAllowedError when a source file also defines a DAG that this caller may not see."""
    tool, dag_id = call.tool, call.arguments["dag_id"]
    id_sets = [ids for ids in (await map_files_to_dags(executor, call)).values() if dag_id in ids]
    for ids in id_sets:
        file_decision = decide(call.policy, Effect(tool, {"dag": frozenset(ids)}), call.principal, decision.parent)
        if not file_decision.allowed:
            raise build_refusal(call.policy, tool, file_decision, call.principal)
    if not id_sets:
        raise NotAllowedError(f"Which DAGs stand in the file of {dag_id!r} cannot be told, so it is not shown.")
