"""Read the ids of a call back from the form in which answers show them, before anything else uses them.

So policy, plans and the audit trail see Airflow's own name of the object. An answer writes invisible characters as
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

MOST_WITHIN = 3  # parent calls around a call whose arguments are still read
_DEEPEST = 200  # nested lists and objects, as in redact
BULK_WORDS = frozenset({"create", "update", "delete"})


def read_ids(tool: Tool, arguments: Json, catalog: Catalog, within: int = 0) -> Json:
    """Return the arguments with their ids as Airflow has them, including those of a call inside this one.

    `within` is the number of parent calls: a call inside too many others means nothing, so it stays as it is.
    """
    names = id_arguments(tool, catalog)
    plain_arguments = {name: _read_id(value) if name in names else value for name, value in arguments.items()}
    if tool.entry.bulk:
        for word in BULK_WORDS & plain_arguments.keys():
            plain_arguments[word] = _read_entities(plain_arguments[word], names)
    inner_tool = catalog.tools.get(plain_arguments["tool"]) if isinstance(plain_arguments.get("tool"), str) else None
    if inner_tool and within < MOST_WITHIN and isinstance(plain_arguments.get("arguments"), dict):
        plain_arguments["arguments"] = read_ids(inner_tool, plain_arguments["arguments"], catalog, within + 1)
    return plain_arguments


def write_ids(tool: Tool, arguments: Json, catalog: Catalog) -> Json:
    """Return the arguments of a call that an answer advises, with their ids as `read_ids` reads them."""
    names = id_arguments(tool, catalog)
    shown_arguments = {
        name: map_strings(value, escape) if name in names else value for name, value in arguments.items()
    }
    inner_tool = catalog.tools.get(shown_arguments["tool"]) if isinstance(shown_arguments.get("tool"), str) else None
    if inner_tool and isinstance(shown_arguments.get("arguments"), dict):
        shown_arguments["arguments"] = write_ids(inner_tool, shown_arguments["arguments"], catalog)
    return shown_arguments


def id_arguments(tool: Tool, catalog: Catalog) -> frozenset[str]:
    """Return the names of a tool's arguments, and of its entities' fields, that are ids or parts of ids."""
    names = (use.name for use in tool.entry.params if catalog.parameters[use.table].id)
    return frozenset((*names, *(tool.entry.bulk.ids if tool.entry.bulk else ())))


def require_sendable(tool: Tool, arguments: Json, catalog: Catalog) -> None:
    """Refuse values that no request can carry, and ids that are a mask. Raises InvalidArgumentsError.

    JSON has neither NaN nor infinities (RFC 8259, 6), though parsers take them; nesting may be limited (ibid., 9).
    """
    for name, value in arguments.items():
        if problem := _find_unsendable(value):
            raise InvalidArgumentsError(f"{tool.name}: {show_id(name[:60])} holds {problem}.")
    has_asset_id = any(use.name == "asset_id" for use in tool.entry.params)
    for name in id_arguments(tool, catalog) & arguments.keys():
        if is_masked(arguments[name]):
            hint = (
                "Give asset_id instead."
                if name == "asset_uri" and has_asset_id
                else "Use Airflow's UI for this object."
            )
            raise InvalidArgumentsError(
                f"{tool.name}: {name} holds {MASK}, which masks a credential in the id, so it is not known what it "
                f"names. {hint}"
            )


def _find_unsendable(value: Any) -> str:
    """Describe the part of a value that cannot be sent, or return "". No recursion: a caller decides the depth."""
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST:
            return f"more than {_DEEPEST} lists and objects in each other, too many to be sent to Airflow"
        next_level: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if sign := find_unsendable(item):
                    return f"{sign}, a character that cannot be sent to Airflow"
            elif isinstance(item, float):
                if not isfinite(item):
                    return f"{json.dumps(item)}, a number that JSON does not have and Airflow cannot be sent"
            elif isinstance(item, dict):
                next_level += cast(Json, item).keys()
                next_level += cast(Json, item).values()
            elif isinstance(item, list):
                next_level += cast("list[Any]", item)
        level, depth = next_level, depth + 1
    return ""


def _read_id(value: Any) -> Any:
    """Read an id, or a list of ids; anything else is refused later."""
    if isinstance(value, list):
        return [unescape(item) if isinstance(item, str) else item for item in cast("list[Any]", value)]
    return unescape(value) if isinstance(value, str) else value


def _read_entities(value: Any, names: frozenset[str]) -> Any:
    """Read the ids in the entities of a bulk call."""
    if isinstance(value, list):
        return [_of_entity(item, names) for item in cast("list[Any]", value)]
    return _of_entity(value, names)


def _of_entity(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        fields = cast(Json, value)
        return {name: _read_id(item) if name in names else item for name, item in fields.items()}
    return value
