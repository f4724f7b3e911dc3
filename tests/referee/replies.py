"""Hold what we read from Airflow's answers against the documents: a tool's reply, and the fields of a record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_mcp.catalog.grammar import Record
from airflow_mcp.catalog.loader import Catalog, Tool
from tests.referee.compare import Problem, paths, reply_rows
from tests.referee.openapi import Document, Json, Operation

_FIELDS = (
    "keep",
    "row",
    "ids",
    "text",
    "tail",
    "blank",
    "named",
    "plain",
    "secret",
    "secret_values",
)  # what a record says by our names


def operation_of(tool: Tool, catalog: Catalog, document: Document) -> Operation | None:
    """What the document says of the tool's request; None where it has none."""
    route = tool.entry.route(document.version.generation)
    if route is None or not route.since.has(document.version):
        return None
    return document.find(route.method, next(iter(paths(tool, route, catalog, document.version))))


def compare_reply(tool: Tool, catalog: Catalog, document: Document) -> Iterator[Problem]:
    """Everything about the reply of `tool` that this document contradicts."""
    entry, generation = tool.entry, document.version.generation
    operation = operation_of(tool, catalog, document)
    if operation is None:
        return
    accept = entry.accept.get(generation, "application/json")
    if operation.replies and accept not in operation.replies:
        text = f"asks for {accept}, but gets {', '.join(operation.replies)}"
        yield Problem(tool.name, "reply", accept, text)
        return
    rows, key = reply_rows(tool, document, operation), entry.rows_key(generation)
    if key and rows is None and not entry.single:
        there = ", ".join(document.properties(operation.replies.get(accept, {}))) or "nothing"
        yield Problem(tool.name, "reply", key, f"the reply has no list {key}, only {there}")
    elif entry.newest and entry.newest not in document.properties(rows or {}):
        yield Problem(tool.name, "reply", entry.newest, f"the rows have no {entry.newest} to be sorted by")
    route = entry.route(generation)
    slots = route.slots if route else ()
    uses = {use.name: use for use in entry.params}
    needed = {one.field: one.operation for name, one in entry.resolve.items() if name in slots}
    for field in entry.patch.required_fields if entry.patch else ():
        if field not in uses or uses[field].since.has(document.version):
            needed[field] = entry.patch.read if entry.patch else ""
    for field, source in needed.items():
        if field not in _field_names(catalog.operations[source], catalog, document):
            yield Problem(tool.name, "reply", field, f"the reply of {source} has no {field}")


def compare_record(name: str, catalog: Catalog, documents: Iterable[Document]) -> list[Problem]:
    """Every field a record names that no reply of any version has under Airflow's name for it."""
    record = catalog.records[name]
    replies = [
        (document, schema)
        for document in documents
        for tool in catalog.operations.values()
        for schema in _replies_with(name, tool, catalog, document)
    ]
    if not replies or record.scalar:
        return []
    of_v1 = [reply for reply in replies if reply[0].version.generation == "v1"]
    ours = {field for document, schema in replies for field in _ours(record, document, schema)}
    wrong = {word: [field for field in getattr(record, word) if field not in ours] for word in _FIELDS}
    wrong["named"] += [field for field in record.named.values() if field not in ours]
    for word, given, among in (
        ("rename", record.rename, replies),
        ("rename_v1", record.rename_v1, of_v1),
        ("invert_v1", record.invert_v1.values(), of_v1),
        ("pluck", record.pluck.values(), replies),
        ("pluck_v1", record.pluck_v1.values(), of_v1),
    ):
        wrong[word] = [
            path for path in given if not any(document.has_field(one, path.split(".")) for document, one in among)
        ]
    return [
        Problem(name, "field", field, f"{word}: no reply has {field}") for word, some in wrong.items() for field in some
    ]


def _field_names(tool: Tool, catalog: Catalog, document: Document) -> set[str]:
    """The fields of the record that a read answers, or of the rows of a list."""
    operation = operation_of(tool, catalog, document)
    if operation is None:
        return set()
    rows = reply_rows(tool, document, operation)
    return set(document.properties(rows or operation.replies.get("application/json", {})))


def _replies_with(name: str, tool: Tool, catalog: Catalog, document: Document) -> Iterator[Json]:
    """The schemas in the tool's reply that become this record."""
    entry = tool.entry
    operation = operation_of(tool, catalog, document) if name in (entry.record, entry.single) else None
    if operation is None:
        return
    reply = operation.replies.get(entry.accept.get(document.version.generation, "application/json"), {})
    rows = reply_rows(tool, document, operation)
    if name == entry.record and rows is not None:
        yield rows
    key = entry.rows_key(document.version.generation)
    if name == (entry.single or entry.record) and (entry.single or not key):
        for one in document.alternatives(reply):
            if key not in one.get("properties", {}):
                yield one


def _ours(record: Record, document: Document, schema: Json) -> set[str]:
    """The names `shape.normalise` gives to the fields of a reply."""
    legacy = document.version.generation == "v1"
    rename = record.rename | (record.rename_v1 if legacy else {})
    found = {rename.get(field, field) for field in document.properties(schema)}
    pluck = record.pluck | (record.pluck_v1 if legacy else {})
    found |= {field for field, path in pluck.items() if document.has_field(schema, path.split("."))}
    for inner, outer in record.unnest.items():
        held = document.items(document.properties(schema).get(inner, {}))
        found |= {outer, *document.properties(held or {})}
    return found | (set(record.invert_v1) if legacy else set())
