"""Ids as a call gives them: read back from the form in which answers show them, before anything else looks at them.

Policy, plans and the audit trail so see what Airflow calls the object. An answer writes characters that are not seen as
`\\u{202E}` (text.py), and masks an id that holds a credential; a mask names nothing.
"""

from __future__ import annotations

from typing import Any, cast

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.redact import MASK, is_masked
from airflow_mcp.text import escape, in_strings, unescape, unsendable

BULK_WORDS = frozenset({"create", "update", "delete"})


def read_ids(tool: Tool, arguments: Json, catalog: Catalog) -> Json:
    """The arguments with their ids as Airflow has them, those of a call about another call too."""
    names = id_arguments(tool, catalog)
    read = {name: in_strings(value, unescape) if name in names else value for name, value in arguments.items()}
    if tool.entry.bulk:
        for word in BULK_WORDS & read.keys():
            read[word] = _of_entities(read[word], names)
    inner = catalog.tools.get(read["tool"]) if isinstance(read.get("tool"), str) else None
    if inner and isinstance(read.get("arguments"), dict):
        read["arguments"] = read_ids(inner, read["arguments"], catalog)
    return read


def write_ids(tool: Tool, arguments: Json, catalog: Catalog) -> Json:
    """The arguments of a call that an answer advises, with their ids as `read_ids` reads them."""
    names = id_arguments(tool, catalog)
    written = {name: in_strings(value, escape) if name in names else value for name, value in arguments.items()}
    inner = catalog.tools.get(written["tool"]) if isinstance(written.get("tool"), str) else None
    if inner and isinstance(written.get("arguments"), dict):
        written["arguments"] = write_ids(inner, written["arguments"], catalog)
    return written


def id_arguments(tool: Tool, catalog: Catalog) -> frozenset[str]:
    """The arguments of a tool that are ids, or parts of some, and the fields of its entities that are."""
    names = (use.name for use in tool.entry.params if catalog.parameters[use.described].id)
    return frozenset((*names, *(tool.entry.bulk.ids if tool.entry.bulk else ())))


def require_sendable(tool: Tool, arguments: Json, catalog: Catalog) -> None:
    """Refuse what no request can carry, and ids that are a mask. Raises InvalidArgumentsError."""
    for name, value in arguments.items():
        in_strings(value, lambda text, name=name: _sendable(tool, name, text))
    numbered = any(use.name == "asset_id" for use in tool.entry.params)
    for name in id_arguments(tool, catalog) & arguments.keys():
        if is_masked(arguments[name]):
            way = "Give asset_id instead." if name == "asset_uri" and numbered else "Use Airflow's UI for this object."
            raise InvalidArgumentsError(
                f"{tool.name}: {name} holds {MASK}, which masks a credential in the id, so it is not known what it "
                f"names. {way}"
            )


def _sendable(tool: Tool, name: str, text: str) -> str:
    if sign := unsendable(text):
        raise InvalidArgumentsError(f"{tool.name}: {name} holds {sign}, a character that cannot be sent to Airflow.")
    return text


def _of_entities(value: Any, names: frozenset[str]) -> Any:
    """The entities of a bulk call with their ids read."""
    if isinstance(value, list):
        return [_of_entities(item, names) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast(Json, value)
        return {name: in_strings(item, unescape) if name in names else item for name, item in fields.items()}
    return value
