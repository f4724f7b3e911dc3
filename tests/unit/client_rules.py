"""What clients and the models behind them take of a tool's JSON Schema, each rule with its source.

A rule reads one tool as it is listed and yields a sentence for each place that breaks it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from mcp.types import Tool

Json = dict[str, Any]
_COMPOSITION = ("oneOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "$ref")
_PREFIX = len("mcp__airflow-mcp__")  # Claude Code puts mcp__SERVER__ before a name, and the whole is the model's name


@dataclass(frozen=True)
class Rule:
    """One limit: who has it, where that is written, and the check."""

    client: str
    source: str
    check: Callable[[Tool], Iterator[str]]


def schemas(schema: Json, place: str = "") -> Generator[tuple[str, Json]]:
    """Every schema inside a schema, with its place."""
    yield place, schema
    for name, each in schema.get("properties", {}).items():
        yield from schemas(each, f"{place}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from schemas(schema[keyword], f"{place}.{keyword}")
    for keyword in ("anyOf", "prefixItems"):
        for number, each in enumerate(schema.get(keyword, ())):
            yield from schemas(each, f"{place}.{keyword}[{number}]")


def _depth(schema: Json) -> int:
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    inner += [schema["items"]] if isinstance(schema.get("items"), dict) else []
    return (schema.get("type") == "object") + max(map(_depth, inner), default=0)


def arrays_have_typed_items(tool: Tool) -> Iterator[str]:
    for place, schema in schemas(tool.input_schema):
        if schema.get("type") == "array" and not ({"type", "anyOf"} & schema.get("items", {}).keys()):
            yield f"{place}: an array without items that have a type"


def no_tuples(tool: Tool) -> Iterator[str]:
    for place, schema in schemas(tool.input_schema):
        if "prefixItems" in schema or isinstance(schema.get("items"), list):
            yield f"{place}: a tuple"


def one_type_a_schema(tool: Tool) -> Iterator[str]:
    for place, schema in schemas(tool.input_schema):
        if not isinstance(schema.get("type", ""), str):
            yield f"{place}: several types in one keyword"
        if "type" not in schema and "anyOf" not in schema:
            yield f"{place}: no type"


def enums_are_texts(tool: Tool) -> Iterator[str]:
    for place, schema in schemas(tool.input_schema):
        if any(not isinstance(value, str) or not value for value in schema.get("enum", ())):
            yield f"{place}: an enum of other values than texts"


def no_composition(tool: Tool) -> Iterator[str]:
    for place, schema in schemas(tool.input_schema):
        if found := [keyword for keyword in _COMPOSITION if keyword in schema]:
            yield f"{place}: {', '.join(found)}"


def root_is_a_plain_object(tool: Tool) -> Iterator[str]:
    if tool.input_schema.get("type") != "object" or {"anyOf", "oneOf", "allOf", "enum"} & tool.input_schema.keys():
        yield "the root is no plain object"


def required_names_exist(tool: Tool) -> Iterator[str]:
    for place, schema in schemas(tool.input_schema):
        if missing := set(schema.get("required", ())) - schema.get("properties", {}).keys():
            yield f"{place}: requires {missing} that it does not describe"


def names_are_short_words(tool: Tool) -> Iterator[str]:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]*", tool.name) or len(tool.name) + _PREFIX > 64:
        yield f"{tool.name} does not fit 64 characters behind a server's prefix"
    for place, schema in schemas(tool.input_schema):
        for name in schema.get("properties", {}):
            if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name):
                yield f"{place}: {name!r} is no name of a property"


def sizes_stay_within_limits(tool: Tool) -> Iterator[str]:
    if len(tool.description or "") > 1024:
        yield "a description of over 1,024 characters"
    every = list(schemas(tool.input_schema))
    if sum(len(schema.get("properties", {})) for _, schema in every) > 100:
        yield "over 100 properties"
    if sum(len(schema.get("enum", ())) for _, schema in every) > 250:
        yield "over 250 values of enums"
    if _depth(tool.input_schema) > 5:
        yield "objects nested deeper than 5"
    if len(json.dumps(tool.input_schema)) > 15_000:
        yield "a schema of over 15,000 characters"


RULES = [
    Rule("VS Code", "github.com/microsoft/vscode issues 246119, 284536 (1.99 to 1.107)", arrays_have_typed_items),
    Rule("Gemini", "github.com/cline/cline issue 7339: items: missing field", arrays_have_typed_items),
    Rule("Gemini", "ai.google.dev/api/caching#Schema: no tuples (2026-11)", no_tuples),
    Rule("OpenAI, strict", "platform.openai.com/docs/guides/structured-outputs: supported schemas", no_tuples),
    Rule("Gemini", "ai.google.dev/api/caching#Schema: `type` is one value of an enum", one_type_a_schema),
    Rule("Gemini", "ai.google.dev/api/caching#Schema: `enum` is a list of texts", enums_are_texts),
    Rule("OpenAI, strict", "platform.openai.com/docs/guides/structured-outputs: keywords", no_composition),
    Rule("Claude", "docs.claude.com, tool use: no anyOf, oneOf or allOf at the root", root_is_a_plain_object),
    Rule("OpenAI, strict", "platform.openai.com/docs/guides/structured-outputs: root", root_is_a_plain_object),
    Rule("Gemini", "ai.google.dev/api/caching#Schema: required names are described", required_names_exist),
    Rule("Gemini", "github.com/google-gemini/gemini-cli issue 2966: 64 characters", names_are_short_words),
    Rule("Claude", "docs.claude.com, tool use: ^[a-zA-Z0-9_.-]{1,64}$ for properties", names_are_short_words),
    Rule(
        "OpenAI", "platform.openai.com/docs/guides/structured-outputs: limits before 2025-07", sizes_stay_within_limits
    ),
]
