"""Check that every name in a manifest exists, and suggest a similar name for one that does not."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from airflow_mcp.catalog.grammar import Entry, Json, Parameter, Record
from airflow_mcp.catalog.read_back import ReadBack
from airflow_mcp.errors import ManifestError

if TYPE_CHECKING:
    from airflow_mcp.catalog.loader import Catalog

Reference = tuple[str, Collection[str], Collection[str]]  # the key, the names in it, and the names that exist


def check_entries(catalog: Catalog) -> None:
    """Check that every name in an entry exists. Raises ManifestError."""
    for tool in catalog.operations.values():
        for key, names, existing_names in _list_references(tool.entry, catalog):
            _require(f"{tool.toolset}.toml: [{tool.name}] {key}", names, existing_names)


def check_parameters(catalog: Catalog) -> None:
    """Check every value that a parameter spells or dates against its schema. Raises ManifestError."""
    for name, parameter in catalog.parameters.items():
        values = _read_enum(parameter)
        location = f"parameters.toml: [{name}]"
        _require_types(f"{location} schema", parameter.json_schema)
        if values is not None:
            _require(f"{location} values_v1", parameter.values_v1, values)
            _require(f"{location} values_since", parameter.values_since, values)


def check_default(catalog: Catalog) -> None:
    """Check the default listing against the toolsets and tools. Raises ManifestError."""
    _require("toolsets.toml: default", catalog.default, [*catalog.toolsets, *catalog.tools])


def describe_near(name: str, known: Collection[str]) -> str:
    """Suggest the name that looks like this one, or list the existing names if there are at most 12."""
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
        return f" Did you mean {close[0]}?"
    return f" There are {', '.join(sorted(known))}." if 0 < len(known) <= 12 else ""


def _require(where: str, names: Collection[str], known: Collection[str]) -> None:
    for name in sorted(names):
        if name not in known:
            raise ManifestError(f"{where}: {name!r} is unknown.{describe_near(name, known)}")


def _list_references(entry: Entry, catalog: Catalog) -> Iterator[Reference]:
    arguments = {use.name for use in entry.params}
    operations = catalog.operations
    record = catalog.records.get(entry.record or "")
    yield "params", [use.table for use in entry.params], catalog.parameters
    yield "record", _as_list(entry.record), catalog.records
    yield "single", _as_list(entry.single), catalog.records
    for key in ("any_of", "picks"):
        yield key, getattr(entry, key), arguments
    yield "alias", entry.alias, arguments
    for key in ("then", "dry"):
        yield key, _as_list(getattr(entry, key)), operations
    for key in ("parent", "shows", "steps"):
        yield key, getattr(entry, key), operations
    yield "part_of", _as_list(entry.part_of), catalog.tools
    yield "unless", entry.unless.values(), operations
    if record is not None:
        fields = _list_fields(record)
        yield "newest", _as_list(entry.newest), fields
        yield "counts", entry.counts, fields
    routes = [route for route in (entry.v1, entry.v2) if route]
    slots = [slot for route in routes for slot in route.slots]
    yield "path", slots, {*arguments, *entry.resolve}
    yield from _list_nested(entry, arguments, catalog)


def _list_nested(entry: Entry, arguments: set[str], catalog: Catalog) -> Iterator[Reference]:
    operations = catalog.operations

    def list_arguments(operation: str) -> set[str]:
        return {use.name for use in operations[operation].entry.params}

    for name, resolve in entry.resolve.items():
        yield f"resolve.{name}.operation", [resolve.operation], operations
        yield f"resolve.{name}.asks", resolve.asks, list_arguments(resolve.operation)
    if patch := entry.patch:
        yield "patch.read", [patch.read], operations
        yield "patch.fill", patch.fill, patch.body
        yield "patch.rename_v2", patch.rename_v2, patch.body
        yield "patch.grows", [field for fields in patch.grows.values() for field in fields], patch.body
    if bulk := entry.bulk:
        yield "bulk.read", [bulk.read], operations
        yield "bulk.along", _as_list(bulk.along), operations
        yield "bulk.ids", bulk.ids.values(), list_arguments(bulk.read)
    if instead := entry.instead:
        yield "instead.operation", [instead.operation], operations
        yield "instead.when", instead.when, arguments
        yield "instead.lists", instead.lists, arguments
        yield "instead.lists", instead.lists.values(), list_arguments(instead.operation)
    if isinstance(entry.read_back, ReadBack):
        yield "read_back.operation", [entry.read_back.operation], operations
    if look_up := entry.look_up:
        yield "look_up.operation", [look_up.operation], operations


def _as_list(name: str | None) -> list[str]:
    return [] if name is None else [name]


def _list_fields(record: Record) -> set[str]:
    """List every field that a record's keys name."""
    lists = (record.keep, record.row, record.ids, record.text, record.tail, record.plain, record.secret)
    tables = (record.rename, record.rename_v1)
    fields = {name for names in lists for name in names} | {field for table in tables for field in table.values()}
    return fields | {
        *record.pluck,
        *record.pluck_v1,
        *record.invert_v1,
        *record.elapsed,
        *record.named,
        *_as_list(record.scalar),
    }


_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")  # JSON Schema draft 2020-12, 6.1.1


def _require_types(where: str, schema: Json) -> None:
    """Check the types in a schema, at any depth. Raises ManifestError for an unknown one."""
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else _as_list(kind)
    _require(f"{where}.type", [str(name) for name in kinds], _TYPES)
    properties = schema.get("properties")
    inner_schemas = [*properties.values()] if isinstance(properties, dict) else []
    for key in ("items", "anyOf", "oneOf", "additionalProperties"):
        part = schema.get(key)
        inner_schemas += part if isinstance(part, list) else [part]
    for part in inner_schemas:
        if isinstance(part, dict):
            _require_types(where, part)


def _read_enum(parameter: Parameter) -> list[str] | None:
    """Return the values that a parameter may have, or None where its schema does not list them."""
    schema = parameter.json_schema
    values = (schema.get("items") or schema).get("enum")
    return None if values is None else [str(value) for value in values]
