"""One operation's reply as it is answered: a record or rows, cut to the room there is."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Tool
from airflow_mcp.dispatch.answer import render
from airflow_mcp.dispatch.operations.result import Reply
from airflow_mcp.dispatch.workflow_context import Room


def operation_answer(
    tool: Tool, arguments: Json, reply: Reply, fields: tuple[str, ...], room: Room, extra: Json
) -> Json:
    """One operation's reply as it is answered; `extra` stands around it."""
    said = " ".join(filter(None, (reply.note, extra.get("hint"), reply.hint)))
    extra = extra | ({"was": reply.was} if reply.was else {}) | ({"hint": said} if said else {})
    if reply.rows is not None and reply.total is None:
        extra["hint"] = " ".join(filter(None, ("Policy hides rows here, so there is no total.", said)))
    if reply.rows == [] and (wrong := _foreign_wildcards(arguments)):
        extra["hint"] = (
            f"In {' and '.join(wrong)} % stands for any characters and _ for one; * and ? stand for nothing."
        )
    if reply.rows is None:
        ids = {name: value for name, value in arguments.items() if name in _slots(tool)}
        record = reply.record.model_copy(update={"ids": (*reply.record.ids, *ids)})
        if not reply.one:
            return {"done": True, **render.show_ids(ids, record)[0], **extra}
        one = {**ids, **{name: value for name, value in reply.one.items() if value is not None or name == "value"}}
        answer = render.record_answer(
            one,
            record,
            budget=room.budget,
            ceiling=room.ceiling,
            fields=fields,
            extra=extra,
            sizes=reply.sizes,
        )
        return answer if tool.entry.access == "read" else _without_more(answer)
    cursor = arguments.get("cursor")
    answer = render.list_answer(
        reply.rows,
        reply.record,
        total=reply.total if cursor is None else len(reply.rows),
        after=reply.after,
        offset=arguments.get("offset", 0),
        paged=any(use.name == "offset" for use in tool.entry.params),
        budget=room.budget - (0 if cursor is None else len(reply.cursor or cursor) + 40),
        ceiling=room.ceiling,
        fields=fields,
        given=arguments,
        extra=extra,
    )
    if cursor is not None:
        fetched = len(reply.rows)
        answer = render.by_cursor(answer, fetched=fetched, total=reply.total, given=cursor, following=reply.cursor)
    return answer if tool.entry.access == "read" or extra.get("dry_run") else _without_more(answer)


def _slots(tool: Tool) -> set[str]:
    return {"dag_id"} | {slot for route in (tool.entry.v1, tool.entry.v2) if route for slot in route.slots}


def _foreign_wildcards(arguments: Json) -> list[str]:
    """The patterns that are written in a shell's syntax: Airflow's are SQL's LIKE."""
    given = ((name, value) for name, value in arguments.items() if name.endswith("_pattern"))
    return [name for name, value in given if isinstance(value, str) and {"*", "?"} & set(value)]


def _without_more(answer: Json) -> Json:
    """Of a change there is no more to ask for: the same call would make it again."""
    return {name: value for name, value in answer.items() if name != "more"}
