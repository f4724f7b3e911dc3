"""Hide what policy denies from a read of many: a row that cannot be attributed to an allowed object is not shown."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json, Noun
from airflow_mcp.catalog.load import Tool
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.policy.decide import Decision, Touched, decide, depends_on, refusal, touched_by
from airflow_mcp.tools.caller import Caller
from airflow_mcp.tools.operate import PAGE, Operations
from airflow_mcp.tools.reply import Reply

_FIELDS: dict[Noun, str] = {"dag": "dag_id", "pool": "name", "variable": "key", "connection": "connection_id"}
_MOST_PAGES = 5  # requests to fill one answer
_MOST_DAG_PAGES = 20  # requests to learn which DAGs are in a file


async def read_allowed(
    door: Operations,
    tool: Tool,
    arguments: Json,
    caller: Caller,
    decision: Decision,
    fields: tuple[str, ...] = ("*",),
    *,
    look_up: bool = True,
) -> Reply:
    """Operate, without the rows that the decision leaves to be decided and that are denied."""
    if decision.by_row:
        return await _hide_rows(door, tool, arguments, caller, fields, decision)
    tools = (tool, decision.within.tool) if decision.within else (tool,)
    if tool.entry.scope.dag == "file" and depends_on(door.policy, "dag", door.asker(caller), *tools):
        await _require_whole_file(door, tool, arguments["dag_id"], caller, decision)
    return await door.operate(tool, arguments, caller, fields, look_up=look_up)


async def _hide_rows(
    door: Operations, tool: Tool, arguments: Json, caller: Caller, fields: tuple[str, ...], decision: Decision
) -> Reply:
    """The reply without what is denied, filled up from later pages in at most five requests.

    Raises NotAllowedError for one record that may not be seen.
    """
    limit, offset = arguments.get("limit", PAGE), arguments.get("offset", 0)
    needed = (*fields, "filename", "bundle_name", *(_FIELDS[noun] for noun in decision.by_row))
    files = await _dags_by_file(door, caller) if tool.entry.scope.dag == "file" else {}
    touched = touched_by(tool, arguments)
    seen: list[Json] = []
    after: list[int] = []
    pages = 0
    while True:
        reply = await door.operate(tool, arguments | ({"offset": offset} if offset else {}), caller, needed)
        pages += 1
        if reply.rows is None:
            if reply.one is not None and not _may_see(door, tool, touched, reply.one, caller, decision, files):
                raise refusal(door.policy, tool, Decision(False, "a rule about its DAG"), door.asker(caller))
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
            return Reply(seen, None, None, reply.record, (*after, *([] if done else [offset])))


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
        ids = {str(row[_FIELDS[noun]])} if row.get(_FIELDS[noun]) is not None else set[str]()
        if noun == "dag" and tool.entry.scope.dag == "file":
            ids = files.get((str(row.get("bundle_name") or ""), str(row.get("filename"))), set())
        if not ids:
            return False
        touched = {**touched, noun: frozenset(ids)}
    return decide(door.policy, tool, touched, door.asker(caller), decision.within).allowed


async def _require_whole_file(door: Operations, tool: Tool, dag_id: str, caller: Caller, decision: Decision) -> None:
    """Refuse a source file that also defines a DAG this caller may not see. Raises NotAllowedError."""
    asker = door.asker(caller)
    beside = [ids for ids in (await _dags_by_file(door, caller)).values() if dag_id in ids]
    for ids in beside:
        found = decide(door.policy, tool, {"dag": frozenset(ids)}, asker, decision.within)
        if not found.allowed:
            raise refusal(door.policy, tool, found, asker)
    if not beside:
        raise NotAllowedError(f"Which DAGs stand in the file of {dag_id!r} cannot be told, so it is not shown.")


async def _dags_by_file(door: Operations, caller: Caller) -> dict[tuple[str, str], set[str]]:
    """(bundle, file) -> DAG ids; 2.x names files by their whole path, 3.x within a bundle, and both are keys."""
    listing = door.catalog.operations["list_dags"]
    files: dict[tuple[str, str], set[str]] = {}
    offset = 0
    for _ in range(_MOST_DAG_PAGES):
        reply = await door.operate(listing, {"exclude_stale": False, "limit": PAGE, "offset": offset}, caller)
        for row in reply.rows or []:
            offset += 1
            for bundle, file in (("", row.get("fileloc")), (row.get("bundle_name"), row.get("relative_fileloc"))):
                if bundle is not None and file:
                    files.setdefault((bundle, file), set()).add(row["dag_id"])
        if not reply.rows or offset >= (reply.total or 0):
            return files
    raise NotAllowedError(
        f"Policy depends on DAGs, and this Airflow has more than {_MOST_DAG_PAGES * PAGE} of them: which of them are "
        "in a file cannot be told, so files are not shown."
    )
