"""Hold one manifest entry against one document: its route, what it sends, and since when it says it may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Literal, NamedTuple

from airflow_mcp.airflow import wire
from airflow_mcp.catalog.grammar import Parameter
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.manifest_syntax import Route
from airflow_mcp.catalog.versions import OLDEST, Generation, Since, Version
from tests.referee.actions import compare_actions
from tests.referee.offer import offered, words
from tests.referee.openapi import Document, Json, Operation
from tests.referee.sending import Place, Sent, bare, sent

Kind = Literal["route", "since", "parameter", "value", "required", "action", "reply", "field"]

_SLOT_VALUE = re.compile(r"slot\.\w+")
_OPTIONAL = re.compile(r"\[/\{(\w+)\}\]")
_SORTABLE = re.compile(r"Supported attributes: `([^`]+)`")


class Problem(NamedTuple):
    """Something about a manifest entry (or a record) that a document contradicts."""

    tool: str
    kind: Kind
    subject: str  # what it is about, in Airflow's words
    text: str


def compare(tool: Tool, catalog: Catalog, document: Document) -> list[Problem]:
    """Everything about the requests of `tool` that this document contradicts."""
    generation = document.version.generation
    route = tool.entry.route(generation)
    if route is None:
        return list(_unused_route(tool, catalog, document))
    problems: list[Problem] = []
    variants = paths(tool, route, catalog, document.version)
    found = {path: document.find(route.method, path) for path in variants}
    if not route.since.has(document.version):
        if all(found.values()):
            text = f"is marked {mark(route.since)}, but {route.method} {route.path} is there"
            problems.append(Problem(tool.name, "since", route.path, text))
        return problems
    for path, operation in found.items():
        if operation is None:
            there = document.methods(path)
            text = f"{route.method} {path} is not there" + (f", only {', '.join(there)}" if there else "")
            problems.append(Problem(tool.name, "route", path, text))
        else:
            problems += _slots(tool, path, variants[path], catalog, document, operation)
            problems += _arguments(tool, catalog, document, operation)
    return list(dict.fromkeys(problems))


def paths(tool: Tool, route: Route, catalog: Catalog, version: Version) -> dict[str, list[str]]:
    """The paths it may request, written with `{}` for a slot, and the names of their slots.

    There is one for each way to give or leave out its optional slots.
    """
    optional = _OPTIONAL.findall(route.path)
    found: dict[str, list[str]] = {}
    for given in product((False, True), repeat=len(optional)):
        left = {slot for slot, there in zip(optional, given, strict=True) if not there}
        values: Json = {slot: -1 if slot in left else f"slot.{slot}" for slot in route.slots}
        path = _SLOT_VALUE.sub("{}", wire.build(bare(tool), values, catalog, version).path)
        found[path] = [slot for slot in route.slots if slot not in left]
    return found


def _slots(
    tool: Tool, path: str, slots: list[str], catalog: Catalog, document: Document, operation: Operation
) -> Iterator[Problem]:
    uses = {use.name: use for use in tool.entry.params}
    for slot, theirs in zip(slots, operation.slots, strict=True):
        use = uses.get(slot)  # none when it is resolved
        if use and not use.since.has(document.version):
            yield Problem(tool.name, "since", slot, f"{slot} is marked {mark(use.since)}, but {path} needs it")
        ours = catalog.parameters.get(use.table if use else slot, Parameter()).json_schema
        if not all(document.allows(theirs, one) for one in offered(ours)):
            text = f"{{{slot}}} of {path} is {words(ours)}, but must be {words(theirs)}"
            yield Problem(tool.name, "value", slot, text)


def _arguments(tool: Tool, catalog: Catalog, document: Document, operation: Operation) -> Iterator[Problem]:
    version = document.version
    everything = sent(tool, catalog, version)
    known = [one for one in everything if one.since.has(version)]
    taken = {(one.place, one.wire): one.name for one in known}
    theirs: dict[Place, dict[str, Json]] = {
        "query": operation.query,
        "header": operation.headers,
        "body": operation.body,
    }
    for one in everything:
        title = f"{one.name} ({one.place} {one.wire})"
        there = one.wire in theirs[one.place]
        if one not in known:
            if there and taken.get((one.place, one.wire), one.name) == one.name:
                yield Problem(tool.name, "since", one.wire, f"{title} is marked {mark(one.since)}, but is there")
        elif not there:
            near = ", ".join(sorted(theirs[one.place])) or "nothing"
            yield Problem(tool.name, "parameter", one.wire, f"{title} is not there; the {one.place} takes {near}")
        else:
            yield from _values(tool, title, one, theirs[one.place][one.wire], document, operation)
    if tool.entry.bulk:
        for subject, text in compare_actions(tool, catalog, document, operation):
            yield Problem(tool.name, "action", subject, text)
    always = {(one.place, one.wire) for one in known if one.always}
    for place, name in sorted(operation.required - always):
        yield Problem(tool.name, "required", name, f"{place} {name} is required, but may be left out")


def _values(
    tool: Tool, title: str, one: Sent, parameter: Json, document: Document, operation: Operation
) -> Iterator[Problem]:
    theirs = parameter if one.place == "body" else parameter.get("schema", {})
    lists = document.items(theirs)
    if one.joined and lists is not None and parameter.get("explode", True):
        yield Problem(tool.name, "value", one.wire, f"{title} is joined by commas, but must be repeated")
    if not one.joined and lists is not None and one.place == "query" and parameter.get("explode") is False:
        yield Problem(tool.name, "value", one.wire, f"{title} is repeated, but must be joined by commas")
    accepted = [theirs]
    if one.place == "query" and lists is not None:
        accepted.append(lists)  # a list of one
    refused: list[Json] = []
    for value in offered(one.schema):
        if value.get("type") == "null" and (one.place == "query" or document.version.generation == "v1"):
            continue  # never sent
        if one.joined and lists is None:
            value = {"type": "string"}
        if not any(document.allows(schema, value) for schema in accepted):
            refused.append(value)
    if refused:
        wrong = ", ".join(map(words, refused))
        yield Problem(tool.name, "value", one.wire, f"{title} offers {wrong}, but takes {words(theirs)}")
    yield from _filter_values(tool, title, one, theirs, document, operation)
    sortable = _SORTABLE.search(parameter.get("description", ""))
    if one.wire == "order_by" and sortable and "const" in one.schema:
        names = re.split(r",\s*", " ".join(sortable[1].split()))
        if one.schema["const"].removeprefix("-") not in names:
            text = f"{title} sorts by {one.schema['const']}, but can by {', '.join(names)}"
            yield Problem(tool.name, "value", one.wire, text)


def _filter_values(
    tool: Tool, title: str, one: Sent, theirs: Json, document: Document, operation: Operation
) -> Iterator[Problem]:
    """A filter without an enum of its own, as `state`, can only match what the rows' field of that name may hold."""
    rows = reply_rows(tool, document, operation)
    field = document.properties(rows or {}).get(one.wire)
    plain = document.items(theirs) or theirs
    if one.place != "query" or field is None or any("enum" in part for part in document.alternatives(plain)):
        return
    values = [part.get("items", part) for part in offered(one.schema)]
    for value in [part["const"] for part in values if "const" in part]:
        null = value == "none" and any(part.get("type") == "null" for part in document.alternatives(field))
        if not null and not document.allows(field, {"type": "string", "const": value}):
            yield Problem(tool.name, "value", f"{one.wire}={value}", f"{title} offers {value}, which no row has")


def reply_rows(tool: Tool, document: Document, operation: Operation) -> Json | None:
    """The schema of one row of the reply; None where the reply has no list under that key."""
    accept = tool.entry.accept.get(document.version.generation, "application/json")
    reply = operation.replies.get(accept)
    rows = document.properties(reply).get(tool.entry.rows_key(document.version.generation) or "") if reply else None
    return document.items(rows) if rows else None


def _unused_route(tool: Tool, catalog: Catalog, document: Document) -> Iterator[Problem]:
    """A tool that says it does not exist in this generation: the other generation's route must not be there."""
    generation = document.version.generation
    other: Generation = "v2" if generation == "v1" else "v1"
    route = tool.entry.route(other)
    if route is None or tool.entry.part_of:
        return
    for path in paths(tool, route, catalog, OLDEST[other]):
        here = path.replace(f"/api/{other}/", f"/api/{generation}/", 1)
        if document.find(route.method, here):
            yield Problem(tool.name, "since", here, f"has no route of {generation}, but {route.method} {here} is there")


def mark(since: Since) -> str:
    """A mark in words, that of what is done on our side too."""
    return str(since) if since.v1 or since.v2 else "local"


def compare_workflow(tool: Tool, catalog: Catalog) -> Iterator[Problem]:
    """Arguments of a workflow that are marked otherwise than in each of its own steps that takes them."""
    steps = [catalog.operations[name] for name in tool.entry.steps]
    for use in tool.entry.params:
        same = [(step, other) for step in steps for other in step.entry.params if other.name == use.name]
        marks = {step.name: other.since for step, other in same if other.table == use.table}
        if marks and use.since not in marks.values():
            there = ", ".join(f"{mark(since)} in {name}" for name, since in marks.items())
            yield Problem(tool.name, "since", use.name, f"{use.name} is marked {mark(use.since)}, but {there}")
