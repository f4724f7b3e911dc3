"""What an entry puts, or would put, into the query, the headers and the body of its request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from airflow_mcp.airflow import wire
from airflow_mcp.catalog.grammar import Parameter, PerGeneration
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.schema import build_parameter_schema
from airflow_mcp.catalog.versions import EVERYWHERE, Since, Version
from tests.referee.offer import offered, sample, type_of
from tests.referee.openapi import Json

Place = Literal["query", "header", "body"]
Put = Callable[[Any], tuple[Place, str, list[Any]]]
"""Where a value goes, under which name, and what it looks like there: a list item by item."""


class Sent(NamedTuple):
    """One thing an entry puts, or would put, beside the path."""

    name: str  # the argument, field or constant
    place: Place
    wire: str  # its name there
    schema: Json  # what it may be, in Airflow's spelling
    joined: bool  # a list goes as one comma-joined value
    always: bool
    since: Since


def bare(tool: Tool) -> Tool:
    """The tool without what it adds by itself, so that a request shows what became of one argument."""
    params = tuple(use.model_copy(update={"since": EVERYWHERE}) for use in tool.entry.params)
    changes = {"params": params, "default": PerGeneration(), "const": PerGeneration()}
    return replace(tool, entry=tool.entry.model_copy(update=changes))


def sent(tool: Tool, catalog: Catalog, version: Version) -> list[Sent]:
    """All of it, under the names and at the places that the engine gives it."""
    if tool.entry.bulk:
        actions: Json = {"type": "array", "items": {"type": "object"}}
        return [Sent("actions", "body", "actions", actions, False, True, EVERYWHERE)]
    slots, plain = _slots(tool, version), bare(tool)
    found = list(_patched(tool, catalog, version))
    for name, schema, always, since in _candidates(tool, catalog, version):

        def put(value: Any, name: str = name) -> tuple[Place, str, list[Any]]:
            request = wire.build(plain, slots | {name: value}, catalog, version)
            if request.query:
                return "query", request.query[0][0], [text for _, text in request.query]
            if request.headers:
                return "header", request.headers[0][0], [request.headers[0][1]]
            ((wire_name, value),) = (request.body or {}).items()
            return "body", wire_name, value if isinstance(value, list) else [value]

        place, wire_name, values = put(sample(schema))
        joined = place == "query" and schema.get("type") == "array" and len(values) == 1
        found.append(Sent(name, place, wire_name, _spelt(schema, put), joined, always, since))
    return found


def _slots(tool: Tool, version: Version) -> Json:
    route = tool.entry.route(version.generation)
    assert route is not None
    return {slot: f"slot.{slot}" for slot in route.slots}


def _elsewhere(tool: Tool, catalog: Catalog, version: Version) -> set[str]:
    """Arguments that this request never holds: they fill its path, or go to another operation."""
    entry, slots = tool.entry, _slots(tool, version)
    taken = {use.name for use in entry.params if use.since.has(version)} | slots.keys()
    found = set(slots)
    for name, source in entry.resolve.items():
        if name in taken:
            others = catalog.operations[source.operation].entry.params
            found |= set(source.asks.values()) or {use.name for use in others}
    if entry.instead and catalog.operations[entry.instead.operation].entry.route(version.generation):
        found |= set(entry.instead.when)
    if entry.dry:
        found |= {use.name for use in entry.params if use.name == "dry_run" and use.local}
    return found


def _candidates(tool: Tool, catalog: Catalog, version: Version) -> Iterator[tuple[str, Json, bool, Since]]:
    """Name, schema, whether it is always sent, and since when, of all that the entry names."""
    entry, generation = tool.entry, version.generation
    elsewhere = _elsewhere(tool, catalog, version)
    merged = entry.patch.body if entry.patch else ()
    one_of = {use.name for use in entry.params if use.name in entry.any_of and use.since.has(version)} - elsewhere
    for use in entry.params:
        if use.name not in elsewhere and use.name not in merged:
            yield use.name, schema_of(use.table, catalog, version), use.required or one_of == {use.name}, use.since
    if entry.patch and (mask := entry.patch.mask_parameter(generation)):
        yield mask, schema_of(mask, catalog, version), False, EVERYWHERE
    request = wire.build(tool, _slots(tool, version), catalog, version)
    real = {name for name, _ in (*request.query, *request.headers)} | set(request.body or {})
    described = {use.name: use.table for use in entry.params}
    for table in (entry.default, entry.const):
        for name, gated in (table.both | (table.v1 if generation == "v1" else table.v2)).items():
            parameter = catalog.parameters.get(described.get(name, name), Parameter())
            named = entry.alias.get(name) or parameter.wire_name(name, generation)
            if named in real or not gated.since.has(version):
                yield name, {"type": type_of(gated.value), "const": gated.value}, True, gated.since


def _patched(tool: Tool, catalog: Catalog, version: Version) -> Iterator[Sent]:
    """The fields of a body that is merged with what Airflow holds."""
    patch, generation = tool.entry.patch, version.generation
    uses = {use.name: use for use in tool.entry.params}
    for field, wire_name in patch.wire_names(generation).items() if patch else ():
        use = uses.get(field)
        described = use.table if use else field
        parameter = catalog.parameters.get(described, Parameter())

        def put(
            value: Any, wire_name: str = wire_name, parameter: Parameter = parameter
        ) -> tuple[Place, str, list[Any]]:
            value = wire.write_value(value, parameter, generation, in_body=True)
            return "body", wire_name, value if isinstance(value, list) else [value]

        schema = _spelt(schema_of(described, catalog, version), put)
        always = patch is not None and field in patch.required_fields
        yield Sent(field, "body", wire_name, schema, False, always, use.since if use else EVERYWHERE)


def spelt_entity(schema: Json, catalog: Catalog, version: Version) -> dict[str, Json]:
    """The properties of one of many objects, in Airflow's spelling: each goes as the parameter of its name does."""
    found: dict[str, Json] = {}
    for name, one in schema["properties"].items():
        parameter = catalog.parameters.get(name, Parameter())

        def put(value: Any, name: str = name, parameter: Parameter = parameter) -> tuple[Place, str, list[Any]]:
            value = wire.write_value(value, parameter, version.generation, in_body=True)
            return "body", name, value if isinstance(value, list) else [value]

        found[name] = _spelt(one, put)
    return found


def schema_of(described: str, catalog: Catalog, version: Version) -> Json:
    """What a parameter may be in this version."""
    return build_parameter_schema(catalog.parameters.get(described, Parameter()), version)


def _spelt(schema: Json, put: Put) -> Json:
    """The schema of what goes over the wire for what this one describes."""
    found = [_spelt_one(one, put) for one in offered(schema)]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _spelt_one(one: Json, put: Put) -> Json:
    if one.get("type") == "null":
        return one
    items = one.get("items", {})
    place, _, values = put(one["const"] if "const" in one else [items["const"]] if "const" in items else sample(one))
    if "const" in one:
        return one if place != "body" and not isinstance(one["const"], str) else _constant(values, one)
    if "const" in items:
        return {**one, "items": _constant(values, items)}
    if place != "body":
        return one
    if one.get("type") == "array" and values != [values[0]]:
        return one if type_of(values[0]) == "string" else {**one, "items": {"type": type_of(values[0])}}
    return one if type_of(values[0]) == one.get("type", "string") else {"type": type_of(values[0])}


def _constant(values: list[Any], one: Json) -> Json:
    value = values[0] if values and not isinstance(one["const"], list) else one["const"]
    return {"type": type_of(value), "const": value}
