"""Ids as a call gives them: read back from the form in which answers show them, before anything else looks at them.

Policy, plans and the audit trail so see what Airflow calls the object. An answer writes characters that are not seen as
`\\u{202E}` (text.py), and masks an id that holds a credential; a mask names nothing.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, cast

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.redact import MASK, is_masked
from airflow_mcp.text import escape, find_unsendable, map_strings, unescape
from airflow_mcp.value_excerpt import show_id

MOST_WITHIN = 3  # calls about each other that are read
_DEEPEST = 200  # lists and objects in each other, as in redact
BULK_WORDS = frozenset({"create", "update", "delete"})


def read_ids(tool: Tool, arguments: Json, catalog: Catalog, within: int = 0) -> Json:
    """The arguments with their ids as Airflow has them, those of a call about another call too.

    `within` counts the calls around it: one about many calls in each other means nothing.
    """
    names = id_arguments(tool, catalog)
    read = {name: _read_id(value) if name in names else value for name, value in arguments.items()}
    if tool.entry.bulk:
        for word in BULK_WORDS & read.keys():
            read[word] = _read_entities(read[word], names)
    inner = catalog.tools.get(read["tool"]) if isinstance(read.get("tool"), str) else None
    if inner and within < MOST_WITHIN and isinstance(read.get("arguments"), dict):
        read["arguments"] = read_ids(inner, read["arguments"], catalog, within + 1)
    return read


def write_ids(tool: Tool, arguments: Json, catalog: Catalog) -> Json:
    """The arguments of a call that an answer advises, with their ids as `read_ids` reads them."""
    names = id_arguments(tool, catalog)
    written = {name: map_strings(value, escape) if name in names else value for name, value in arguments.items()}
    inner = catalog.tools.get(written["tool"]) if isinstance(written.get("tool"), str) else None
    if inner and isinstance(written.get("arguments"), dict):
        written["arguments"] = write_ids(inner, written["arguments"], catalog)
    return written


def id_arguments(tool: Tool, catalog: Catalog) -> frozenset[str]:
    """The arguments of a tool that are ids, or parts of some, and the fields of its entities that are."""
    names = (use.name for use in tool.entry.params if catalog.parameters[use.table].id)
    return frozenset((*names, *(tool.entry.bulk.ids if tool.entry.bulk else ())))


def require_sendable(tool: Tool, arguments: Json, catalog: Catalog) -> None:
    """Refuse what no request can carry, and ids that are a mask. Raises InvalidArgumentsError.

    JSON has neither NaN nor infinities (RFC 8259, 6), though parsers take them; nesting may be limited (ibid., 9).
    """
    for name, value in arguments.items():
        if wrong := _find_unsendable(value):
            raise InvalidArgumentsError(f"{tool.name}: {show_id(name[:60])} holds {wrong}.")
    numbered = any(use.name == "asset_id" for use in tool.entry.params)
    for name in id_arguments(tool, catalog) & arguments.keys():
        if is_masked(arguments[name]):
            way = "Give asset_id instead." if name == "asset_uri" and numbered else "Use Airflow's UI for this object."
            raise InvalidArgumentsError(
                f"{tool.name}: {name} holds {MASK}, which masks a credential in the id, so it is not known what it "
                f"names. {way}"
            )


def _find_unsendable(value: Any) -> str:
    """What of a value cannot be sent, or "". Without recursion, since a caller decides how deep it is."""
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST:
            return f"more than {_DEEPEST} lists and objects in each other, too many to be sent to Airflow"
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if sign := find_unsendable(item):
                    return f"{sign}, a character that cannot be sent to Airflow"
            elif isinstance(item, float):
                if not isfinite(item):
                    return f"{json.dumps(item)}, a number that JSON does not have and Airflow cannot be sent"
            elif isinstance(item, dict):
                inner += cast(Json, item).keys()
                inner += cast(Json, item).values()
            elif isinstance(item, list):
                inner += cast("list[Any]", item)
        level, depth = inner, depth + 1
    return ""


def _read_id(value: Any) -> Any:
    """An id, or a list of some; anything else is refused later."""
    if isinstance(value, list):
        return [unescape(item) if isinstance(item, str) else item for item in cast("list[Any]", value)]
    return unescape(value) if isinstance(value, str) else value


def _read_entities(value: Any, names: frozenset[str]) -> Any:
    """The entities of a bulk call with their ids read."""
    if isinstance(value, list):
        return [_of_entity(item, names) for item in cast("list[Any]", value)]
    return _of_entity(value, names)


def _of_entity(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        fields = cast(Json, value)
        return {name: _read_id(item) if name in names else item for name, item in fields.items()}
    return value
