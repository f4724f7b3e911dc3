"""Hold the arguments create, update and delete of a bulk entry against the actions that the document describes."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mcp.catalog.loader import Catalog, Tool
from tests.referee.offer import offered, words
from tests.referee.openapi import Document, Json, Operation
from tests.referee.sending import schema_of, spelt_entity

CHOICES = {"create": "on_existing", "update": "on_missing", "delete": "on_missing"}


def compare_actions(
    tool: Tool, catalog: Catalog, document: Document, operation: Operation
) -> Iterator[tuple[str, str]]:
    """What is wrong, each with what it is about."""
    version, uses, bulk = document.version, {use.name: use for use in tool.entry.params}, tool.entry.bulk
    assert bulk is not None
    theirs = _actions(document, operation)
    for word, choice in CHOICES.items():
        if word not in uses or not uses[word].since.has(version):
            continue
        action = theirs.get(word)
        if action is None:
            yield word, f"{word} is not there, only {', '.join(theirs) or 'nothing'}"
            continue
        chosen = action.get("action_on_existence" if word == "create" else "action_on_non_existence", {"enum": []})
        for value in offered(schema_of(uses[choice].table, catalog, version)):
            if not document.allows(chosen, value):
                yield choice, f"{choice} offers {words(value)}, but {word} takes {words(chosen)}"
        entities = document.items(action["entities"]) or {}
        for one in offered(schema_of(uses[word].table, catalog, version)["items"]):
            added = {*bulk.default, *(bulk.fill if word == "update" else ())}
            yield from _entity(word, _named(one, bulk.alias), added, entities, catalog, document)


def _named(ours: Json, alias: dict[str, str]) -> Json:
    """An entity's schema with its fields as they are called on the wire."""
    if ours.get("type") != "object":
        return ours
    properties = {alias.get(name, name): schema for name, schema in ours["properties"].items()}
    return {**ours, "properties": properties, "required": [alias.get(name, name) for name in ours.get("required", ())]}


def _actions(document: Document, operation: Operation) -> dict[str, Json]:
    """The properties of each kind of action."""
    found: dict[str, Json] = {}
    for one in document.alternatives(document.items(operation.body.get("actions", {})) or {}):
        properties = document.properties(one)
        kind = properties.get("action", {})
        for word in [kind["const"]] if "const" in kind else kind.get("enum", ()):
            found[word] = properties
    return found


def _entity(
    word: str, ours: Json, added: set[str], theirs: Json, catalog: Catalog, document: Document
) -> Iterator[tuple[str, str]]:
    """One way to name an entity; `added` are the fields that it always has, whatever the caller says."""
    if ours.get("type") != "object":
        if not document.allows(theirs, ours):
            yield word, f"{word} takes no {words(ours)}"
        return
    there = document.properties(theirs)
    for name, value in ({name: {} for name in added} | spelt_entity(ours, catalog, document.version)).items():
        if name not in there:
            yield f"{word}.{name}", f"{word} has no {name}, only {', '.join(sorted(there))}"
        for one in offered(value) if value and name in there else ():
            if one.get("type") != "null" and not document.allows(there[name], one):
                yield f"{word}.{name}", f"{name} of {word} offers {words(one)}, but takes {words(there[name])}"
    must = {
        name for one in document.alternatives(theirs) if "properties" in one for name in one.get("required", ())
    } - {*added, *ours.get("required", ())}
    for name in sorted(must):
        yield f"{word}.{name}", f"{name} of {word} is required, but may be left out"
