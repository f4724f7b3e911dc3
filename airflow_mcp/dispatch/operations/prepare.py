"""What a request needs that its caller need not say: ids looked up, and bodies filled with what Airflow holds."""

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

Send = Callable[[Tool, Json], Awaitable[Any]]  # one operation's raw answer


async def resolve(tool: Tool, arguments: Json, catalog: Catalog, version: Version, send: Send) -> Json:
    """The arguments with those that only Airflow knows, as a DAG's file token or the id of an asset's URI.

    Raises NotFoundError for what Airflow does not know, InvalidArgumentsError for both an id and what stands for it.
    """
    route = tool.entry.route(version.generation)
    taken = {use.name for use in tool.entry.params if use.since.has(version)} | set(route.slots if route else ())
    for name, source in tool.entry.resolve.items():
        if name not in taken:
            continue
        instead = [ours for ours in source.asks.values() if ours in arguments]
        if name in arguments:
            if instead:
                raise InvalidArgumentsError(f"{tool.name}: give {name} or {' and '.join(instead)}, not both.")
            continue
        if source.asks and not instead:
            continue  # a filter that was not given
        operation = catalog.operations[source.operation]
        asked = {theirs: arguments[ours] for theirs, ours in source.asks.items()} or arguments
        if source.match:
            key = operation.entry.rows_key(version.generation) or ""
            raw = await _find_matching(partial(send, operation), asked, key, source.match, arguments)
        else:
            raw = await send(operation, asked)
        used = {*source.asks.values(), *(use.name for use in operation.entry.params if not source.asks)}
        kept = used & set(route.slots if route else ())
        arguments = {key: value for key, value in arguments.items() if key not in used - kept}
        if not isinstance(raw, dict) or not isinstance(raw.get(source.field), str | int):
            raise UnusableAnswerError(f"Airflow {version} answered {operation.name} without {source.field}.", 200)
        arguments[name] = raw[source.field]
    return arguments


async def _find_matching(
    ask: Callable[[Json], Awaitable[Any]], query: Json, key: str, field: str, arguments: Json
) -> Json:
    """The one row with this value among those that only hold it somewhere, page by page. Raises NotFoundError."""
    offset = total = 0
    while offset <= total:
        raw = await ask(query | {"limit": 100, "offset": offset})
        for row in raw[key]:
            if row.get(field) == arguments[field]:
                return row
        offset, total = offset + max(len(raw[key]), 1), (raw.get("total_entries") or 0) - 1
    raise NotFoundError(f"Airflow knows nothing whose {field} is {str(arguments[field])[:120]!r}.", 404)


async def require_new(tool: Tool, arguments: Json, catalog: Catalog, version: Version, send: Send) -> None:
    """Where creating would overwrite, look first. Raises AirflowError for what exists already."""
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
    """The arguments beside the body (ids, and which fields to write), the body in Airflow's words, and what it holds.

    What the caller does not name is sent only where Airflow wants it, as Airflow holds it. Raises AirflowError where
    that would store a mask, or where Airflow would keep what the caller leaves out.
    """
    patch, generation = tool.entry.patch, version.generation
    assert patch is not None
    current = await send(catalog.operations[patch.read], arguments)
    route = tool.entry.route(generation)
    slots = route.slots if route else ()
    described = {use.name: use.table for use in tool.entry.params}
    named = [field for field in patch.body if field in arguments and field not in slots]
    body: dict[str, Any] = {}
    for field, wire_name in patch.wire_names(generation).items():
        if field in named:
            parameter = catalog.parameters[described[field]]
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
        if field in named and any(one not in body[field] for one in current.get(field) or ()):
            raise AirflowError(
                f"{tool.name}: Airflow {version} adds to {field} and takes none away. Nothing was changed; name those "
                "that it has too, or delete it and create it anew.",
                200,
            )
    ids = {key: value for key, value in arguments.items() if key in slots}
    return (ids | {mask: named} if mask else ids), body, current


def require_written(tool: Tool, arguments: Json, raw: Any, catalog: Catalog, version: Version) -> None:
    """Airflow 3 answers 200 to a PATCH it ignored: compare what came back. Raises AirflowError.

    What it hides, or does not answer, cannot be compared.
    """
    assert tool.entry.patch is not None
    held: Json = raw if isinstance(raw, dict) else {}
    described = {use.name: use.table for use in tool.entry.params}
    lost: list[str] = []
    for field in tool.entry.patch.body:
        if field not in arguments or field not in held or MASK in str(held[field]):
            continue
        parameter = catalog.parameters.get(described.get(field, field), Parameter())
        sent = wire.write_value(arguments[field], parameter, version.generation, in_body=True)
        if not _are_equal(sent, held[field]):
            lost.append(field)
    if lost:
        raise AirflowError(
            f"Airflow accepted {tool.name} but did not write {', '.join(lost)}. Look before you retry.", 200
        )


def _are_equal(wanted: Any, stored: Any) -> bool:
    """Equal as values: an object may be held as JSON text, and a list of names in another order."""
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
