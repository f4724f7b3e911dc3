"""A JSON Schema of parameters.toml, taken apart into what a caller may give."""

from __future__ import annotations

from typing import Any

from tests.referee.openapi import Json

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def type_of(value: Any) -> str:
    """The JSON Schema type of a manifest's constant."""
    return _TYPES[type(value)]


def sample(schema: Json) -> Any:
    """Any value that fits; a list has two, so that joined and repeated ones differ."""
    values = {"array": ["a", "b"], "integer": 1, "number": 1.5, "boolean": True, "object": {"a": 1}}
    first = next((one for one in offered(schema) if one.get("type") != "null"), schema)
    return values.get(first.get("type", "string"), "a")


def offered(schema: Json) -> list[Json]:
    """What may be given, one by one: every alternative and type, and every value of an enum as a `const`."""
    kind = schema.get("type")
    if "anyOf" in schema:
        return [one for part in schema["anyOf"] for one in offered(part)]
    if isinstance(kind, list):
        return [one for each in kind for one in offered({**schema, "type": each})]
    if "enum" in schema:
        return [{"type": type_of(value), "const": value} for value in schema["enum"]]
    if isinstance(schema.get("const"), list):
        return [{"type": "array", "items": {"type": type_of(value), "const": value}} for value in schema["const"]]
    if "items" in schema:
        return [{**schema, "items": one} for one in offered(schema["items"])]
    return [schema]


def words(schema: Json) -> str:
    """A schema in a few words for a failure, ours or Airflow's."""
    if "const" in schema:
        return repr(schema["const"])
    for key in ("enum", "anyOf", "$ref", "format"):
        if key in schema:
            return str(schema[key])
    held = f" of {words(schema['items'])}" if schema.get("items") else ""
    return f"{schema.get('type', 'anything')}{held}"
