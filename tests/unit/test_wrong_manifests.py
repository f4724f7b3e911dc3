"""Every key of the grammar, spoilt in every way: the loader answers each with a sentence that names file and key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from airflow_mcp.catalog.grammar import Entry, Parameter, Record, Toolsets
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.errors import ManifestError
from tests.unit.manifests import PARAMETERS, RECORDS, write_manifests

Json = dict[str, Any]
BASE: Json = {
    "title": "Find a thing",
    "summary": "It is found.",
    "access": "read",
    "scope": "none",
    "v2": "GET /things/{thing_id}",
    "params": ["thing_id"],
    "record": "thing",
}
WRONG: tuple[Any, ...] = (7, 1.5, True, "nope", ["nope"], [7], {"nope": 7}, [{"nope": 7}])
# Values that are right for a key: every value of WRONG is tried for every other.
RIGHT: dict[str, tuple[Any, ...]] = {
    "title": ("nope",),
    "summary": ("nope",),
    "words": ("nope",),
    "lost": ("nope",),
    "read_back": ("nope",),  # a text says why nothing shows the change
    "rows": ("nope",),  # a key of Airflow's reply, of which the loader knows nothing
    "rows_v1": ("nope",),
    "python": (True,),
    "idempotent": (True,),
    "every_instance": (True,),
    "serverwide": (True,),
    "links": (True,),
    "budget": (),
    "default": (),
    "const": (),
}
RAW = re.compile(r"Input should|valid |validation|Value error|permitted|Field required|pydantic|\[type=|class '|\n")


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def table(name: str, fields: Json) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in fields.items())


def keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def nested(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The keys whose value is a table with keys of its own."""
    for name, field in model.model_fields.items():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield field.alias or name, part


def complaint(folder: Path, **files: str) -> str:
    with pytest.raises(ManifestError) as refusal:
        load_catalog(write_manifests(folder / "manifests", **files))
    return str(refusal.value)


def require_sentence(said: str, file: str, key: str) -> None:
    assert said.startswith(f"{file}: "), said
    assert key in said, said
    assert not RAW.search(said), said
    assert said[-1] in ".?", said


def load(folder: Path, **files: str) -> str:
    """What the loader says, or nothing where it takes the manifests."""
    folder.mkdir(exist_ok=True)
    try:
        load_catalog(write_manifests(folder / "manifests", **files))
    except ManifestError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("key", keys_of(Entry))
def test_no_value_of_a_wrong_kind_is_taken_in_an_entry(tmp_path: Path, key: str) -> None:
    taken: list[Any] = []
    for number, value in enumerate(WRONG):
        said = load(tmp_path / str(number), more=table("find_thing", BASE | {key: value}))
        if said:
            require_sentence(said, "more.toml", key)
        else:
            taken.append(value)
    assert [value for value in taken if value not in RIGHT.get(key, ())] == []


@pytest.mark.parametrize(
    ("file", "base", "model"),
    [("parameters", {}, Parameter), ("records", {"keep": ["a"]}, Record)],
    ids=["parameters", "records"],
)
def test_no_value_of_a_wrong_type_is_taken_in_what_entries_share(
    tmp_path: Path, file: str, base: Json, model: type[BaseModel]
) -> None:
    whole = {"parameters": PARAMETERS, "records": RECORDS}[file]
    for key in keys_of(model):
        said = load(tmp_path / key, **{file: whole + table("strange", base | {key: 7})})
        require_sentence(said, f"{file}.toml", key)


@pytest.mark.parametrize(("key", "model"), [*nested(Entry)], ids=lambda one: one if isinstance(one, str) else "")
def test_a_key_within_a_key_is_named_with_its_path(tmp_path: Path, key: str, model: type[BaseModel]) -> None:
    first = keys_of(model)[0]
    said = complaint(tmp_path, more=table("find_thing", BASE | {key: {f"{first}x": 1}}))
    require_sentence(said, "more.toml", key)


@pytest.mark.parametrize("key", keys_of(Entry))
def test_a_key_that_is_misspelt_is_met_with_the_near_word(tmp_path: Path, key: str) -> None:
    wrong = f"{key}x"
    said = complaint(tmp_path, more=table("find_thing", BASE | {wrong: "none"}))
    require_sentence(said, "more.toml", wrong)
    assert "Did you mean" in said, said


@pytest.mark.parametrize("key", ["summary", "access", "scope"])
def test_a_key_that_is_missing_is_said_to_be_required(tmp_path: Path, key: str) -> None:
    fields = {name: value for name, value in BASE.items() if name != key}
    assert complaint(tmp_path, more=table("find_thing", fields)) == f"more.toml: [find_thing] {key}: it is required."


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("budget", -5, "budget: it must be at least 400, not -5."),
        ("budget", 399, "budget: it must be at least 400, not 399."),
        ("budget", "4000", 'budget: it must be a whole number, not "4000".'),
        ("budget", True, "budget: it must be a whole number, not true."),
        ("newest", "colr", "newest: 'colr' is unknown. Did you mean color?"),
        ("picks", ["thing"], "picks: 'thing' is unknown. Did you mean thing_id?"),
        ("idempotent", "yes", 'idempotent: it must be true or false, not "yes".'),
        ("idempotent", 1, "idempotent: it must be true or false, not 1."),
        ("record", "thin", "record: 'thin' is unknown. Did you mean thing?"),
        ("parent", "get_thing", 'parent: it must be a list, not "get_thing".'),
        ("alias", {"thing": "x"}, "alias: 'thing' is unknown. Did you mean thing_id?"),
        ("resolve", {"thing_id": {"operation": "get_thin", "field": "x"}}, "resolve.thing_id.operation: 'get_thin'"),
        ("instead", {"operation": "list_things", "when": ["thing"]}, "instead.when: 'thing' is unknown. Did you mean"),
        ("accept", {"v3": "text/plain"}, "accept.v3: it must be 'v1' or 'v2', not \"v3\"."),
        ("access", "rite", "Did you mean write?"),
    ],
)
def test_what_is_out_of_range_or_names_nothing_is_said_with_the_near_word(
    tmp_path: Path, key: str, value: Any, words: str
) -> None:
    said = complaint(tmp_path, more=table("find_thing", BASE | {key: value}))
    assert said.startswith("more.toml: [find_thing] ")
    assert words in said


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("parameters", '[odd]\nschema = { type = "strin" }\n', "[odd] schema.type: 'strin' is unknown. Did you mean"),
        (
            "parameters",
            '[odd]\nschema = { enum = ["red"] }\nvalues_v1 = { rd = "x" }\n',
            "[odd] values_v1: 'rd' is unknown. Did you mean red?",
        ),
        ("parameters", "odd = 7\n", "[odd] it must be a table, not 7."),
        ("more", "find_thing = 7\n", "[find_thing] it must be a table, not 7."),
    ],
)
def test_a_shared_file_is_complained_of_in_the_same_words(tmp_path: Path, file: str, text: str, words: str) -> None:
    whole = text + PARAMETERS if file == "parameters" else text
    said = complaint(tmp_path, **{file: whole})
    assert said.startswith(f"{file}.toml: ")
    assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('default = "things"\n', 'default: it must be a list, not "things".'),
        ('defaults = ["things"]\n', "defaults: this is no key here. Did you mean default?"),
        ('default = ["thing"]\n', "default: 'thing' is unknown. Did you mean things?"),
    ],
)
def test_what_is_listed_by_default_is_held_against_what_there_is(tmp_path: Path, text: str, words: str) -> None:
    assert keys_of(Toolsets) == ["default"]
    assert complaint(tmp_path, toolsets=text) == f"toolsets.toml: {words}"
