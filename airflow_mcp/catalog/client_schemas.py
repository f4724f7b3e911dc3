"""Reduce a tool's JSON Schema to the subset that clients and the models behind them take.

VS Code refuses a tool, and Gemini a whole list, for an array without `items`; neither Gemini nor OpenAI's strict mode
takes tuples (`prefixItems`). tests/unit/client_rules.py has the rules with their sources. Arguments are validated
against the narrower schema that this one is made from.
"""

from __future__ import annotations

from typing import Any

from airflow_mcp.catalog.grammar import Json

_ANY_ITEM: Json = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "object")]}


def simplify_schema(schema: Json) -> Json:
    """Return the schema with `items` for every array and without tuples."""
    portable = {key: _simplify_value(key, value) for key, value in schema.items() if key != "prefixItems"}
    if schema.get("type") == "array" and "items" not in portable:
        places = [simplify_schema(place) for place in schema.get("prefixItems", ())]
        portable["items"] = {"anyOf": places} if places else _ANY_ITEM
    return portable


def _simplify_value(key: str, value: Any) -> Any:
    match key, value:
        case "properties", dict():
            return {name: simplify_schema(each) for name, each in value.items()}
        case "anyOf", list():
            return [simplify_schema(each) for each in value]
        case "items", dict():
            return simplify_schema(value)
        case _:
            return value
