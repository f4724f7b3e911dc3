"""Complete a request with what its caller may omit: look up ids, and fill bodies with the stored values."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from airflow_mcp.airflow import wire
from airflow_mcp.catalog.grammar import Json, Parameter
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import AirflowError, InvalidArgumentsError, NotFoundError, UnusableAnswerError
from airflow_mcp.redact import MASK, is_masked

Send = Callable[[Tool, Json], Awaitable[Any]]  # sends one operation and returns its raw answer


async def resolve(tool: Tool, arguments: Json, catalog: Catalog, version: Version, send: Send) -> Json:
    """Return the arguments with those that only Airflow knows, such as a DAG's file token or the id of an asset.

    Raises NotFoundError when Airflow does not know the object, and InvalidArgumentsError when the call has both an id
    and the argument from which it is looked up.
    """
    route = tool.entry.route(version.generation)
    parameters = {use.name for use in tool.entry.params if use.since.has(version)} | set(route.slots if route else ())
    for name, source in tool.entry.resolve.items():
        if name not in parameters:
            continue
        substitute_names = [argument_name for argument_name in source.asks.values() if argument_name in arguments]
        if name in arguments:
            if substitute_names:
                raise InvalidArgumentsError(f"{tool.name}: give {name} or {' and '.join(substitute_names)}, not both.")
            continue
        if source.asks and not substitute_names:
            continue  # an optional filter that the call does not have
        operation = catalog.operations[source.operation]
        query = {query_name: arguments[argument_name] for query_name, argument_name in source.asks.items()} or arguments
        if source.match:
            key = operation.entry.rows_key(version.generation) or ""
            raw = await _find_matching(partial(send, operation), query, key, source.match, arguments)
        else:
            raw = await send(operation, query)
        used_names = {*source.asks.values(), *(use.name for use in operation.entry.params if not source.asks)}
        path_names = used_names & set(route.slots if route else ())
        arguments = {key: value for key, value in arguments.items() if key not in used_names - path_names}
        if not isinstance(raw, dict) or not isinstance(raw.get(source.field), str | int):
            raise UnusableAnswerError(f"Airflow {version} answered {operation.name} without {source.field}.", 200)
        arguments[name] = raw[source.field]
    return arguments


async def _find_matching(
    ask: Callable[[Json], Awaitable[Any]], query: Json, key: str, field: str, arguments: Json
) -> Json:
    """Return the row whose field equals the argument, page by page: Airflow's filter also matches parts of values.

    Raises NotFoundError when no row does.
    """
    offset = total = 0
    while offset <= total:
        raw = await ask(query | {"limit": 100, "offset": offset})
        for row in raw[key]:
            if row.get(field) == arguments[field]:
                return row
        offset, total = offset + max(len(raw[key]), 1), (raw.get("total_entries") or 0) - 1
    raise NotFoundError(f"Airflow knows nothing whose {field} is {str(arguments[field])[:120]!r}.", 404)


async def require_new(tool: Tool, arguments: Json, catalog: Catalog, version: Version, send: Send) -> None:
    """Raise AirflowError when the object exists already, in versions of Airflow whose create would overwrite it."""
    if (name := tool.entry.unless.get(version.generation)) is None:
        return
    try:
        await send(catalog.operations[name], arguments)
    except NotFoundError:
        return
    raise AirflowError(
        f"{tool.name}: it exists already, and Airflow {version} would overwrite it. Nothing was changed; the tool that "
        "updates it changes it.",
        409,
    )


async def build_patch(
    tool: Tool, arguments: Json, catalog: Catalog, version: Version, send: Send
) -> tuple[Json, dict[str, Any], Json]:
    """Return the arguments beside the body (ids, update mask), the body in Airflow's names, and the stored record.

    Fields that the call does not have are sent only where Airflow requires them, with their stored values. Raises
    AirflowError when that would store a mask, or when Airflow would keep list items that the call leaves out.
    """
    patch, generation = tool.entry.patch, version.generation
    assert patch is not None
    current = await send(catalog.operations[patch.read], arguments)
    route = tool.entry.route(generation)
    slots = route.slots if route else ()
    tables = {use.name: use.table for use in tool.entry.params}
    written_fields = [field for field in patch.body if field in arguments and field not in slots]
    body: dict[str, Any] = {}
    for field, wire_name in patch.wire_names(generation).items():
        if field in written_fields:
            parameter = catalog.parameters[tables[field]]
            body[wire_name] = wire.write_value(arguments[field], parameter, generation, in_body=True)
        elif field in patch.required_fields:
            body[wire_name] = current.get(field)
    mask = patch.mask_parameter(generation)
    if not mask and any(is_masked(value) for value in body.values()):
        raise AirflowError(
            f"{tool.name}: Airflow hides the present value and would store {MASK} instead of it. Nothing was changed; "
            "give the value too.",
            200,
        )
    for field in patch.grows.get(generation, ()):
        if field in written_fields and any(item not in body[field] for item in current.get(field) or ()):
            raise AirflowError(
                f"{tool.name}: Airflow {version} adds to {field} and takes none away. Nothing was changed; name those "
                "that it has too, or delete it and create it anew.",
                200,
            )
    ids = {key: value for key, value in arguments.items() if key in slots}
    return (ids | {mask: written_fields} if mask else ids), body, current


def require_written(tool: Tool, arguments: Json, raw: Any, catalog: Catalog, version: Version) -> None:
    """Raise AirflowError when the answer of a PATCH lacks a written value: Airflow 3 answers 200 to one it ignored.

    Values that Airflow masks or does not answer cannot be compared.
    """
    assert tool.entry.patch is not None
    stored: Json = raw if isinstance(raw, dict) else {}
    tables = {use.name: use.table for use in tool.entry.params}
    unwritten_fields: list[str] = []
    for field in tool.entry.patch.body:
        if field not in arguments or field not in stored or MASK in str(stored[field]):
            continue
        parameter = catalog.parameters.get(tables.get(field, field), Parameter())
        wire_value = wire.write_value(arguments[field], parameter, version.generation, in_body=True)
        if not _are_equal(wire_value, stored[field]):
            unwritten_fields.append(field)
    if unwritten_fields:
        raise AirflowError(
            f"Airflow accepted {tool.name} but did not write {', '.join(unwritten_fields)}. Look before you retry.", 200
        )


def _are_equal(wanted: Any, stored: Any) -> bool:
    """Compare as values: Airflow may store an object as JSON text, and a list of names in another order."""
    if wanted == stored:
        return True
    if isinstance(stored, str):
        try:
            return _are_equal(json.loads(wanted) if isinstance(wanted, str) else wanted, json.loads(stored))
        except ValueError:
            return False
    if isinstance(wanted, list) and isinstance(stored, list):
        return sorted(map(repr, wanted)) == sorted(map(repr, stored))
    return False
