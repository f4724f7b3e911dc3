"""Build the answer of one operation from its result: a record or rows, within the budget of characters."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.dispatch.answer import render
from airflow_mcp.dispatch.call import Call
from airflow_mcp.dispatch.operations.result import OperationResult


def build_answer(call: Call, reply: OperationResult, extra: Json) -> Json:
    """Build the answer of an operation within the call's limits; `extra` are further fields of the answer."""
    tool, arguments, limits = call.tool, call.arguments, call.limits
    hint = " ".join(filter(None, (reply.note, extra.get("hint"), reply.hint)))
    extra = extra | ({"was": reply.previous} if reply.previous else {}) | ({"hint": hint} if hint else {})
    if reply.rows is not None and reply.total is None:
        extra["hint"] = " ".join(filter(None, ("Policy hides rows here, so there is no total.", hint)))
    if reply.rows == [] and (wildcard_names := _find_wildcards(arguments)):
        extra["hint"] = (
            f"In {' and '.join(wildcard_names)} % stands for any characters and _ for one; * and ? stand for nothing."
        )
    if reply.rows is None:
        ids = {name: value for name, value in arguments.items() if name in _list_slots(tool)}
        record = reply.record.model_copy(update={"ids": (*reply.record.ids, *ids)})
        if not reply.single:
            return {"done": True, **render.show_ids(ids, record)[0], **extra}
        record_fields = {
            **ids,
            **{name: value for name, value in reply.single.items() if value is not None or name == "value"},
        }
        answer = render.render_record(
            record_fields,
            record,
            budget=limits.budget,
            ceiling=limits.ceiling,
            fields=call.fields,
            extra=extra,
            sizes=reply.sizes,
        )
        return answer if tool.entry.access == "read" else _remove_paging(answer)
    cursor = arguments.get("cursor")
    answer = render.render_list(
        reply.rows,
        reply.record,
        total=reply.total if cursor is None else len(reply.rows),
        after=reply.after,
        offset=arguments.get("offset", 0),
        paged=any(use.name == "offset" for use in tool.entry.params),
        budget=limits.budget - (0 if cursor is None else len(reply.cursor or cursor) + 40),
        ceiling=limits.ceiling,
        fields=call.fields,
        constants=arguments,
        extra=extra,
    )
    if cursor is not None:
        fetched = len(reply.rows)
        answer = render.add_cursor(answer, fetched=fetched, total=reply.total, cursor=cursor, next_cursor=reply.cursor)
    return answer if tool.entry.access == "read" or extra.get("dry_run") else _remove_paging(answer)


def _list_slots(tool: Tool) -> set[str]:
    return {"dag_id"} | {slot for route in (tool.entry.v1, tool.entry.v2) if route for slot in route.slots}


def _find_wildcards(arguments: Json) -> list[str]:
    """Return the pattern arguments in shell syntax: Airflow's patterns are those of SQL's LIKE."""
    patterns = ((name, value) for name, value in arguments.items() if name.endswith("_pattern"))
    return [name for name, value in patterns if isinstance(value, str) and {"*", "?"} & set(value)]


def _remove_paging(answer: Json) -> Json:
    """Remove `more` from the answer of a change: the same call for more rows would repeat the change."""
    return {name: value for name, value in answer.items() if name != "more"}
