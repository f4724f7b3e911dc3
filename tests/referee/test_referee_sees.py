"""The referee is not blind: a small API and a manifest that fits it, and what is said of each way to break it."""

from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.catalog.loader import load_catalog
from tests.referee.compare import Problem, compare, compare_workflow
from tests.referee.openapi import Document
from tests.referee.replies import compare_record, compare_reply

MANIFESTS = {
    "toolsets.toml": "default = []",
    "records.toml": """
[thing]
keep = ["thing_id", "state", "made", "maker"]
pluck = { maker = "made_by.name" }
rename_v1 = { created = "made" }
""",
    "parameters.toml": """
[thing_id]
[part]
schema = { type = "integer" }
[name]
v1 = "title"
[size]
schema = { type = "integer" }
[colour]
[state]
schema = { type = "array", items = { type = "string", enum = ["on", "off"] } }
[made_after]
schema = { type = "string", format = "date-time" }
[order_by]
""",
    "things.toml": """
[list_things]
title = "List things"
summary = "Things."
access = "read"
scope = "none"
v1 = "GET /things"
v2 = "GET /things"
params = ["state?", "size?@3.2", "made_after?", "order_by?"]
default.v2 = { order_by = "-made" }
rows = "things"
record = "thing"

[get_thing]
title = "Get a thing"
summary = "A thing."
access = "read"
scope = "none"
v2 = "GET /things/{thing_id}[/{part}]"
params = ["thing_id", "part?"]
record = "thing"

[make_thing]
title = "Make a thing"
summary = "Make a thing."
access = "write"
effects = ["make_thing"]
scope = "none"
python = true
steps = ["post_thing"]
params = ["name", "colour?@3.2"]

[post_thing]
summary = "The request of make_thing."
access = "write"
effects = ["make_thing"]
scope = "none"
part_of = "make_thing"
v2 = "POST /things @3.2"
params = ["name", "colour?@3.2"]
""",
}


def api(name: str) -> Document:
    """The API of one version: 2.11 only lists things, 3.2 can make them and filter them by size."""
    legacy, newest = name < "3", name > "3.2"

    def reply(schema: dict[str, Any]) -> dict[str, Any]:
        return {"200": {"content": {"application/json": {"schema": schema}}}}

    def parameter(name: str, schema: dict[str, Any], place: str = "query") -> dict[str, Any]:
        return {"name": name, "in": place, "required": place == "path", "schema": schema}

    thing = {"$ref": "#/components/schemas/Thing"}
    sorting = {"description": "Supported attributes: `thing_id,\n made`"}
    query = [
        parameter("state", {"type": "array", "items": {"$ref": "#/components/schemas/State"}}),
        parameter("made_after", {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
        parameter("order_by", {"type": "array", "items": {"type": "string"}}) | sorting,
        *([parameter("size", {"anyOf": [{"type": "integer"}, {"type": "null"}]})] if newest else []),
    ]
    made: dict[str, Any] = {"created" if legacy else "made": {"type": "string", "format": "date-time"}}
    fields = {"thing_id": {"type": "string"}, "state": {"$ref": "#/components/schemas/State"}, **made}
    fields |= {"made_by": {"allOf": [{"type": "object", "properties": {"name": {"type": "string"}}}]}}
    things = {"type": "object", "properties": {"things": {"type": "array", "items": thing}}}
    body = {"required": ["name"], "properties": {"name": {"type": "string"}, "colour": {"type": ["string", "null"]}}}
    post = {"requestBody": {"content": {"application/json": {"schema": body}}}, "responses": {"204": {}}}
    paths: dict[str, Any] = {"/things": {"get": {"parameters": query, "responses": reply(things)}}}
    if newest:
        paths["/things"]["post"] = post
    if not legacy:
        by_id = [parameter("id", {"type": "string"}, "path"), parameter("number", {"type": "integer"}, "path")]
        paths["/things/{id}"] = {"get": {"parameters": by_id[:1], "responses": reply(thing)}}
        paths["/things/{id}/{number}"] = {"get": {"parameters": by_id, "responses": reply(thing)}}
    schemas = {"State": {"type": "string", "enum": ["on", "off"]}, "Thing": {"type": "object", "properties": fields}}
    servers = [{"url": "/api/v1" if legacy else "/api/v2"}]
    return Document(name, {"servers": servers, "paths": paths, "components": {"schemas": schemas}})


def problems(folder: Path, version: str, old: str = "", new: str = "") -> list[Problem]:
    """What is said of the manifests with `old` replaced by `new`."""
    assert any(old in text for text in MANIFESTS.values())
    for file, text in MANIFESTS.items():
        (folder / file).write_text(text.replace(old, new, 1) if old else text)
    catalog, document = load_catalog(folder), api(version)
    found: list[Problem] = []
    for tool in catalog.operations.values():
        found += [*compare(tool, catalog, document), *compare_reply(tool, catalog, document)]
        found += compare_workflow(tool, catalog)
    documents = [api(name) for name in ("2.11.2", "3.1.8", "3.2.2")]
    return found + [one for name in catalog.records for one in compare_record(name, catalog, documents)]


@pytest.mark.parametrize("version", ["2.11.2", "3.1.8", "3.2.2"])
def test_nothing_is_said_of_a_manifest_that_fits(version: str, tmp_path: Path) -> None:
    assert problems(tmp_path, version) == []


@pytest.mark.parametrize(
    ("version", "old", "new", "kind", "text"),
    [
        ("3.2.2", 'v2 = "GET /things"', 'v2 = "GET /thing"', "route", "GET /api/v2/thing is not there"),
        ("3.2.2", '"POST /things', '"PUT /things', "route", "PUT /api/v2/things is not there, only GET, POST"),
        ("3.2.2", "}[/{part}]", "}/parts[/{part}]", "route", "GET /api/v2/things/{}/parts/{} is not there"),
        ("3.1.8", "POST /things @3.2", "POST /things", "route", "POST /api/v2/things is not there, only GET"),
        ("3.2.2", "POST /things @3.2", "POST /things @3.3", "since", "is marked Airflow 3.3 or newer, but POST"),
        ("2.11.2", 'v1 = "GET /things"\n', "", "since", "has no route of v1, but GET /api/v1/things is there"),
        ("3.2.2", '"order_by?"', '"order_by?", "colour?"', "parameter", "colour (query colour) is not there"),
        ("3.1.8", "size?@3.2", "size?@3.1", "parameter", "size (query size) is not there"),
        ("3.2.2", "size?@3.2", "size?@3.3", "since", "size (query size) is marked Airflow 3.3 or newer, but is there"),
        ("3.2.2", "made_after?", "made_after?@v1", "since", "made_after (query made_after) is marked Airflow 2.x, but"),
        ("3.2.2", '"order_by?"]', '"order_by?@v1"]', "since", "order_by (query order_by) is marked Airflow 2.x, but"),
        (
            "3.1.8",
            '"part?"',
            '"part?@3.2"',
            "since",
            "part is marked Airflow 3.2 or newer, but /api/v2/things/{}/{} needs",
        ),
        ("3.2.2", 'v1 = "title"', 'v2 = "title"', "parameter", "name (body title) is not there"),
        ("3.2.2", "record =", 'const.v2 = { "odd@3.2" = 1 }\nrecord =', "parameter", "odd (query odd) is not there"),
        ("3.2.2", '"off"', '"odd"', "value", "state (query state) offers array of 'odd'"),
        ("3.2.2", '{ type = "integer" }\n[name]', '{ type = "string" }\n[name]', "value", "{part} of"),
        ("3.2.2", ', format = "date-time"', "", "value", "made_after (query made_after) offers string"),
        ("3.2.2", '"-made"', '"-birth"', "value", "sorts by -birth, but can by thing_id, made"),
        ("3.2.2", "[made_after]", 'comma = ["v2"]\n[made_after]', "value", "is joined by commas, but must be repeated"),
        ("3.2.2", 'record = "thing"', 'record = "thing"\nconst.v2 = { size = "1" }', "value", "offers '1', but takes"),
        ("3.2.2", '@3.2"\nparams = ["name"', '@3.2"\nparams = ["name?"', "required", "body name is required, but may"),
        ("3.2.2", 'rows = "things"', 'rows = "all"', "reply", "the reply has no list all, only things"),
        ("3.2.2", 'rows = "things"', 'rows = "things"\nnewest = "maker"', "reply", "the rows have no maker"),
        ("3.2.2", "rows =", 'accept = { v2 = "text/plain" }\nrows =', "reply", "asks for text/plain, but gets"),
        ("3.2.2", '"thing_id", "state", "made"', '"thing_id", "status", "made"', "field", "keep: no reply has status"),
        ("3.2.2", "made_by.name", "made_by.names", "field", "pluck: no reply has made_by.names"),
        ("3.2.2", "created =", "make =", "field", "rename_v1: no reply has make"),
        ("3.2.2", '"name", "colour?@3.2"', '"name", "colour?"', "since", "colour is marked Airflow 2.7 or newer, but"),
    ],
)
def test_a_broken_manifest_is_named_with_what_is_wrong(
    version: str, old: str, new: str, kind: str, text: str, tmp_path: Path
) -> None:
    found = problems(tmp_path, version, old, new)
    assert [one for one in found if one.kind == kind and text in one.text], found
