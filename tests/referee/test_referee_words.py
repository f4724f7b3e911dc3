"""The referee follows each word of the grammar: what an entry sends by it is held against the document."""

from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.catalog.loader import load_catalog
from tests.referee.compare import compare
from tests.referee.openapi import Document
from tests.referee.replies import compare_reply

MANIFESTS = {
    "toolsets.toml": "default = []",
    "records.toml": '[thing]\nkeep = ["name"]\n',
    "parameters.toml": """
[id]
schema = { type = "integer" }
[name]
[token]
in = "header"
v2 = "Thing-Token"
[roles]
schema = { type = "array", items = { type = "string" } }
each = "name"
[extra]
schema = { type = ["object", "string"] }
json_text = ["v2"]
[states]
schema = { type = "array", items = { type = "string", enum = ["on", "none"] } }
null = "none"
[dry_run]
schema = { type = "boolean" }
[update_mask]
schema = { type = "array", items = { type = "string" } }
in = "query"
[made]
schema.type = "array"
schema.items.type = "object"
schema.items.properties = { name = { type = "string" }, extra = { type = "object" } }
schema.items.required = ["name"]
[gone]
schema = { type = "array", items = { type = "string" } }
[on_existing]
schema = { type = "string", enum = ["fail"] }
[on_missing]
schema = { type = "string", enum = ["fail"] }
""",
    "things.toml": """
[list_things]
title = "List things"
summary = "Things."
access = "read"
scope = "none"
v1 = "GET /things"
v2 = "GET /things"
params = ["name?", "states?@v2"]
instead = { operation = "query_things", when = ["states"] }
rows = "things"
rows_v1 = "stuff"
record = "thing"

[query_things]
summary = "The list by POST."
access = "read"
part_of = "list_things"
scope = "none"
v2 = "POST /boxes/~/list"
params = ["name?", "states?"]
rows = "things"
record = "thing"

[get_thing]
title = "Get a thing"
summary = "A thing."
access = "read"
scope = "none"
v2 = "GET /things/{id}"
params = ["id?", "name?", "token"]
any_of = ["id", "name"]
resolve = { id = { operation = "list_things", field = "id", asks = { name = "name" }, match = "name" } }
record = "thing"

[update_thing]
title = "Change a thing"
summary = "Change a thing."
access = "write"
effects = ["update_thing"]
scope = "none"
v2 = "PATCH /things/{id}"
params = ["id", "name?", "roles?", "extra?", "dry_run?@local"]
preview = "flag"
dry = "try_update"
default.both = { dry_run = false }
patch = { read = "get_thing", body = ["id", "name", "roles", "extra"], fill = ["id", "name"] }
record = "thing"

[try_update]
summary = "The dry run."
access = "read"
part_of = "update_thing"
scope = "none"
v2 = "PATCH /things/{id}/dry_run"
params = ["id", "name?"]
record = "thing"

[bulk_things]
title = "Change things"
summary = "Change things."
access = "destructive"
effects = ["bulk_things"]
scope = "none"
v2 = "PATCH /things"
params = ["create:made?", "delete:gone?", "on_existing?", "on_missing?"]
preview = "bulk"
bulk = { read = "get_thing", ids = { name = "name" } }
""",
}


def api(name: str) -> Document:
    """2.11 lists stuff; 3.2 has all that the entries above send."""
    text, number = {"type": "string"}, {"type": "integer"}
    thing = {"type": "object", "properties": {"id": number, "name": text}}

    def reply(schema: dict[str, Any]) -> dict[str, Any]:
        return {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}

    def body(properties: dict[str, Any], *required: str) -> dict[str, Any]:
        schema = {"type": "object", "properties": properties, "required": list(required)}
        return {"requestBody": {"content": {"application/json": {"schema": schema}}}}

    def parameter(name: str, place: str, schema: dict[str, Any], required: bool = False) -> dict[str, Any]:
        return {"name": name, "in": place, "required": required, "schema": schema}

    def action(word: str, choice: str, entity: dict[str, Any]) -> dict[str, Any]:
        entities = {"type": "array", "items": entity}
        return {"properties": {"action": {"enum": [word]}, choice: {"enum": ["fail"]}, "entities": entities}}

    by_name = [parameter("name", "query", text)]
    things = reply({"properties": {"stuff" if name < "3" else "things": {"type": "array", "items": thing}}})
    if name < "3":
        return Document(name, {"paths": {"/api/v1/things": {"get": {"parameters": by_name, **things}}}})
    by_id = [parameter("id", "path", number)]
    names = {"type": "array", "items": {"type": "object", "properties": {"name": text}}}
    states = {"type": "array", "items": {"anyOf": [{"type": "string", "enum": ["on"]}, {"type": "null"}]}}
    made = {"type": "object", "properties": {"name": text, "extra": text}, "required": ["name"]}
    actions = [action("create", "action_on_existence", made), action("delete", "action_on_non_existence", text)]
    mask = parameter("update_mask", "query", {"type": "array", "items": text})
    fields = {"id": number, "name": text, "roles": names, "extra": text}
    paths = {
        "things": {
            "get": {"parameters": by_name, **things},
            "patch": {**body({"actions": {"type": "array", "items": {"oneOf": actions}}}, "actions"), **reply({})},
        },
        "boxes/{box}/list": {
            "post": {
                "parameters": [parameter("box", "path", text)],
                **body({"name": text, "states": states}),
                **things,
            }
        },
        "things/{id}": {
            "get": {"parameters": [*by_id, parameter("Thing-Token", "header", text, True)], **reply(thing)},
            "patch": {"parameters": [*by_id, mask], **body(fields, "id", "name"), **reply(thing)},
        },
        "things/{id}/dry_run": {"patch": {"parameters": by_id, **body({"name": text}), **reply(thing)}},
    }
    return Document(name, {"paths": {f"/api/v2/{path}": item for path, item in paths.items()}})


def said(folder: Path, version: str, old: str = "", new: str = "") -> list[str]:
    """What is said of the manifests with `old` replaced by `new`."""
    assert any(old in text for text in MANIFESTS.values())
    for file, text in MANIFESTS.items():
        (folder / file).write_text(text.replace(old, new, 1) if old else text)
    catalog, document = load_catalog(folder), api(version)
    tools = catalog.operations.values()
    found = [one for tool in tools for part in (compare, compare_reply) for one in part(tool, catalog, document)]
    return [f"{one.tool}: {one.text}" for one in found]


@pytest.mark.parametrize("version", ["2.11.2", "3.2.2"])
def test_nothing_is_said_of_words_that_fit(version: str, tmp_path: Path) -> None:
    assert said(tmp_path, version) == []


@pytest.mark.parametrize(
    ("version", "old", "new", "text"),
    [
        ("2.11.2", 'rows_v1 = "stuff"\n', "", "list_things: the reply has no list things, only stuff"),
        ("3.2.2", 'v2 = "Thing-Token"', 'v2 = "Token"', "get_thing: token (header Token) is not there"),
        ("3.2.2", '"token"]', '"token?"]', "get_thing: header Thing-Token is required, but may be left out"),
        ("3.2.2", 'each = "name"\n', "", "update_thing: roles (body roles) offers array of string, but takes array"),
        ("3.2.2", 'json_text = ["v2"]', "", "update_thing: extra (body extra) offers object, but takes string"),
        ("3.2.2", 'null = "none"', "", "query_things: states (body states) offers array of 'none', but takes"),
        ("3.2.2", 'when = ["states"]', 'when = ["name"]', "list_things: states (query states) is not there"),
        ("3.2.2", '/~/list"', '/~/lists"', "query_things: POST /api/v2/boxes/~/lists is not there"),
        ("3.2.2", 'asks = { name = "name" }', 'asks = { name = "id" }', "get_thing: name (query name) is not there"),
        ("3.2.2", 'field = "id"', 'field = "key"', "get_thing: the reply of list_things has no key"),
        ("3.2.2", '"dry_run?@local"', '"dry_run?"', "update_thing: dry_run (body dry_run) is not there"),
        ("3.2.2", '"id", "name"] }', '"id"] }', "update_thing: body name is required, but may be left out"),
        ("3.2.2", '"extra"], fill', '"extra", "size"], fill', "update_thing: size (body size) is not there"),
        ("3.2.2", "{ name = {", "{ size = {}, name = {", "bulk_things: create has no size, only extra, name"),
        ("3.2.2", 'required = ["name"]', "required = []", "bulk_things: name of create is required, but may be"),
        (
            "3.2.2",
            'ids = { name = "name" } }',
            'ids = { name = "name" }, default = { size = 1 } }',
            "bulk_things: create has no",
        ),
        ("3.2.2", '"delete:gone?"', '"update:gone?"', "bulk_things: update is not there, only create, delete"),
        ("3.2.2", 'enum = ["fail"]', 'enum = ["skip"]', "bulk_things: on_existing offers 'skip', but create takes"),
        (
            "3.2.2",
            '[gone]\nschema = { type = "array", items = { type = "string" }',
            '[gone]\nschema = { type = "array", items = { type = "integer" }',
            "bulk_things: delete takes no integer",
        ),
    ],
)
def test_a_word_that_does_not_fit_is_named(version: str, old: str, new: str, text: str, tmp_path: Path) -> None:
    found = said(tmp_path, version, old, new)
    assert [one for one in found if one.startswith(text)], found
