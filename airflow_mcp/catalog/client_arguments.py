"""Read arguments as clients write them, in the meaning of the tool's JSON Schema.

Some clients write every argument as text, JSON as text, one value for a list, or null for what they leave out (OpenAI's
strict mode names every property). Where the schema allows just one reading, the value is read so; else it stays as it
is, and validation refuses it. A value whose schema takes text is never read as anything else: a variable's "5" stays
text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.ids import MOST_WITHIN
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.schema import build_validation_schema

_WHOLE_NUMBER = re.compile(r"([+-]?[0-9]{1,18})(?:\.0+)?", re.ASCII)
_SCALARS = frozenset({"string", "integer", "number", "boolean"})
_ADDED = ("instance", "plan")  # arguments that the server adds to a tool's own schema
_OF_ANOTHER_TOOL = ("call_arguments", "inner_arguments")  # [tables] for arguments of the tool that `tool` names


def read_arguments(tool: Tool, arguments: Json, catalog: Catalog, within: int = 0) -> Json:
    """Read every value as the type that the tool's schema asks for, as far as there is just one reading.

    Other values stay as the client gave them. `within` is the number of parent calls.
    """
    present_arguments = {name: value for name, value in arguments.items() if not (value is None and name in _ADDED)}
    values = read_value(build_validation_schema(tool, catalog), present_arguments)
    inner_tool = catalog.tools.get(tool_name) if isinstance(tool_name := values.get("tool"), str) else None
    if inner_tool is None or within == MOST_WITHIN:
        return values
    for use in tool.entry.params:
        if use.table in _OF_ANOTHER_TOOL and isinstance(values.get(use.name), dict):
            values[use.name] = read_arguments(inner_tool, values[use.name], catalog, within + 1)
    return values


def read_value(schema: Json, value: Any) -> Any:
    """Read one value by its JSON Schema (draft 2020-12).

    The keywords that count are type, anyOf, enum, items, prefixItems, properties and required.
    """
    if not schema:
        return value
    kinds = _list_kinds(schema)
    if isinstance(value, str):
        return _read_text(schema, kinds, value)
    if isinstance(value, list):
        return _read_list(_find_alternative("array", schema), value)
    if isinstance(value, dict):
        return _read_object(_find_alternative("object", schema), value)
    if "array" in kinds and _is_scalar(value) and _takes_scalars(schema):
        return [read_value(schema["items"], value)]
    return value


def _read_text(schema: Json, kinds: frozenset[str], text: str) -> Any:
    if "enum" in schema:
        return _find_near_value(schema["enum"], text)
    if "string" in kinds or not kinds:
        return text
    readings: list[Any] = []
    plain = text.strip()
    if "integer" in kinds and (match := _WHOLE_NUMBER.fullmatch(plain)):
        readings.append(int(match[1]))
    if "boolean" in kinds and plain.casefold() in ("true", "false"):
        readings.append(plain.casefold() == "true")
    if kinds & {"object", "array", "number"} and (value := _parse_json(plain)) is not None:
        kind = {dict: "object", list: "array", float: "number", int: "number"}.get(type(value), "")
        readings += [read_value(schema, value)] if kind in kinds else []
    if not readings and "array" in kinds and _takes_scalars(schema) and not plain.startswith(("[", "{")):
        readings.append(_read_items(schema["items"], text))
    return readings[0] if len(readings) == 1 else text


def _read_items(items: Json, text: str) -> list[Any]:
    """Read a list written as one text: one value, or names of an enum with commas between them."""
    parts = [_find_near_value(items["enum"], part) for part in text.split(",")] if "enum" in items else []
    if len(parts) > 1 and all(part in items["enum"] for part in parts):
        return parts
    return [read_value(items, text)]


def _read_list(schema: Json, values: list[Any]) -> list[Any]:
    places = schema.get("prefixItems", ())
    if len(places) == len(values):
        return [read_value(place, value) for place, value in zip(places, values, strict=True)]
    return [read_value(schema.get("items", {}), value) for value in values]


def _read_object(schema: Json, value: Json) -> Json:
    properties, required_names = schema.get("properties", {}), schema.get("required", ())
    absent_names = {
        name
        for name, item in value.items()
        if item is None and name in properties and name not in required_names and not _takes_null(properties[name])
    }
    return {
        name: read_value(properties[name], item) if name in properties else item
        for name, item in value.items()
        if name not in absent_names
    }


def _find_near_value(values: list[Any], text: str) -> Any:
    """Return the enum's own spelling of a text that differs from it only in case or outer spaces."""
    if text in values:
        return text
    matches = [value for value in values if isinstance(value, str) and value.casefold() == text.strip().casefold()]
    return matches[0] if len(matches) == 1 else text


def _list_alternatives(schema: Json) -> list[Json]:
    return schema.get("anyOf") or [schema]


def _list_kinds(schema: Json) -> frozenset[str]:
    """List the JSON types that a schema takes; none where it takes any."""
    kinds: set[str] = set()
    for alternative in _list_alternatives(schema):
        kind = alternative.get("type", ())
        kinds.update([kind] if isinstance(kind, str) else kind)
    return frozenset(kinds)


def _takes_null(schema: Json) -> bool:
    return not _list_kinds(schema) or "null" in _list_kinds(schema) or None in schema.get("enum", ())


def _takes_scalars(schema: Json) -> bool:
    items = schema.get("items")
    return isinstance(items, dict) and bool(_list_kinds(items) & _SCALARS)


def _find_alternative(kind: str, schema: Json) -> Json:
    """Return the alternative for values of this JSON type, where there is just one, else {}."""
    alternatives = [alternative for alternative in _list_alternatives(schema) if alternative.get("type") == kind]
    return alternatives[0] if len(alternatives) == 1 else {}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _parse_json(text: str) -> Any:
    """Parse the JSON value in a text; return None for a text that is not JSON, or that names a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_read_pairs, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _read_pairs(pairs: list[tuple[str, Any]]) -> Json:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice: which value is meant is not known")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON (RFC 8259)")
