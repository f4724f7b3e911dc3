"""A manifest that breaks the grammar ends the start with its file, its entry and its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.schema import build_input_schema
from airflow_mcp.catalog.versions import Since, Version
from airflow_mcp.errors import ManifestError
from tests.unit.manifests import PARAMETERS, write_manifests

WHOLE = """
title = "Find a thing"
summary = "It is found."
access = "read"
scope = "none"
v2 = "GET /things/{thing_id}"
params = ["thing_id"]
"""


def complaint(folder: Path, **files: str) -> str:
    """What loading says about these manifests."""
    with pytest.raises(ManifestError) as refusal:
        load_catalog(write_manifests(folder / "manifests", **files))
    return str(refusal.value)


def spoilt(folder: Path, old: str, new: str) -> str:
    """What loading says of a right entry in which `old` became `new`."""
    assert old in WHOLE
    return complaint(folder, more="[find_thing]" + WHOLE.replace(old, new))


def test_a_right_folder_loads(tmp_path: Path) -> None:
    catalog = load_catalog(write_manifests(tmp_path / "manifests", more=f"[find_thing]{WHOLE}"))
    tool = catalog.tools["find_thing"]
    assert tool.toolset == "more"
    assert catalog.toolsets == {"things", "people", "more"}
    assert catalog.default == {"things"}
    assert build_input_schema(tool, catalog)["required"] == ["thing_id"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('access = "read"', 'access = "read"\ncolour = "red"', "colour: this is no key here. There are"),
        ('access = "read"\n', "", "access: it is required."),
        (
            'access = "read"',
            'access = "reads"',
            "access: it must be 'read', 'write', 'destructive' or 'admin', not \"reads\". Did you mean read?",
        ),
        ('scope = "none"\n', "", "scope: it is required."),
        ('scope = "none"', 'scope = { dags = "path" }', "scope.dags: this is no key here. Did you mean dag?"),
        ('scope = "none"', 'scope = { dag = "header" }', "scope.dag: it must be 'path', "),
        ('summary = "It is found."\n', "", "summary: it is required."),
        ('title = "Find a thing"\n', "", "title is required"),
        ('access = "read"', 'access = "destructive"', "preview is required where access is destructive or admin"),
        ('access = "read"', 'access = "admin"', "preview is required where access is destructive or admin"),
        ('access = "read"', 'access = "read"\nsteps = ["get_thing"]', "steps are for python"),
        ('access = "read"', 'access = "read"\npython = true', "python and a route exclude each other"),
        ('access = "read"', 'access = "read"\nforwards = "reads"', "has neither routes nor python of its own"),
        ('access = "read"', 'access = "read"\nforwards = "writes"', "forwards: it must be 'reads' or 'changes'"),
        ('v2 = "GET /things/{thing_id}"\n', 'forwards = "changes"\n', "what forwards reads is a read"),
        ('access = "read"', 'access = "read"\nserverwide = true', "serverwide is for python that reads"),
        ('v2 = "GET /things/{thing_id}"\n', "", "an entry needs v1, v2 or python"),
        ('"GET /things/{thing_id}"', '"FETCH /things/{thing_id}"', "is not a route such as"),
        ('"GET /things/{thing_id}"', '"GET things/{thing_id}"', "is not a route such as"),
        ('"GET /things/{thing_id}"', '"GET /things/{thing_id} @next"', "is not an Airflow version"),
        ('"GET /things/{thing_id}"', '"GET /things/{thing_id} @2.8,3.1,3.2"', "more than one version"),
        ('"thing_id"]', '"thing_id", "page!"]', "is not a parameter such as"),
        ('"thing_id"]', '"thing_id", "limit?@x"]', "is not an Airflow version"),
        ('"thing_id"]', "7]", "params"),
        ('access = "read"', 'access = "read"\nidempotent = "maybe"', "idempotent"),
        ('access = "read"', 'access = "read"\npreview = "guess"', "preview"),
        ('access = "read"', 'access = "destructive"\npreview = "read"', "preview = 'read' and shows go together"),
        ('access = "read"', 'access = "read"\nshows = ["get_thing"]', "preview = 'read' and shows go together"),
        ('access = "read"', 'access = "read"\npatch = { read = "get_thing" }', "patch.body: it is required."),
        ('access = "read"', 'access = "read"\nconst.v3 = { a = 1 }', "const.v3: this is no key here."),
        ('access = "read"', 'access = "read"\naccept = { v3 = "text/plain" }', "accept.v3"),
    ],
)
def test_an_entry_that_breaks_the_grammar_is_named_with_its_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    sentence = spoilt(tmp_path, old, new)
    assert sentence.startswith("more.toml: [find_thing] ")
    assert words in sentence
    assert "\n" not in sentence
    assert "http" not in sentence


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"thing_id"]', '"thing_id", "colour?"]', "params: 'colour' is unknown"),
        (
            '"thing_id"]',
            '"thing_id", "end_date.range?"]',
            "params: 'end_date_gte' is unknown. Did you mean start_date_gte?",
        ),
        ('"thing_id"]', '"thing_id:that"]', "params: 'that' is unknown"),
        ('params = ["thing_id"]', 'params = ["limit"]', "path: 'thing_id' is unknown"),
        ('params = ["thing_id"]', 'params = ["thing_id"]\nrecord = "object"', "record: 'object' is unknown"),
        ('params = ["thing_id"]', 'params = ["thing_id"]\nsingle = "object"', "single: 'object' is unknown"),
        ('params = ["thing_id"]', 'params = ["thing_id"]\nany_of = ["limit"]', "any_of: 'limit' is unknown"),
        ('params = ["thing_id"]', 'params = ["thing_id"]\nalias = { it = "x" }', "alias: 'it' is unknown"),
        ('params = ["thing_id"]', 'params = ["thing_id"]\nthen = "get_it"', "then: 'get_it' is unknown"),
        ('params = ["thing_id"]', 'params = ["thing_id"]\nparent = ["get_it"]', "parent: 'get_it' is unknown"),
        (
            'params = ["thing_id"]',
            'params = ["thing_id"]\npreview = "read"\nshows = ["get_it"]',
            "shows: 'get_it' is unknown",
        ),
        ('params = ["thing_id"]', 'params = ["thing_id"]\npart_of = "do_it"', "part_of: 'do_it' is unknown"),
        (
            'params = ["thing_id"]',
            'params = ["thing_id"]\nresolve = { thing_id = { operation = "get_it", field = "x" } }',
            "resolve.thing_id.operation: 'get_it' is unknown",
        ),
        (
            'params = ["thing_id"]',
            'params = ["thing_id"]\npatch = { read = "get_it", body = ["thing_id"] }',
            "patch.read: 'get_it' is unknown",
        ),
    ],
)
def test_an_entry_that_names_what_does_not_exist_is_named_with_its_key(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    sentence = spoilt(tmp_path, old, new)
    assert sentence.startswith(f"more.toml: [find_thing] {words}")
    assert "Did you mean" in sentence or "There are" in sentence


@pytest.mark.parametrize("access", ["write", "destructive", "admin"])
def test_a_workflow_is_of_no_lower_class_than_its_steps(tmp_path: Path, access: str) -> None:
    route = 'v2 = "GET /things/{thing_id}"'
    shows = 'preview = "read"\nshows = ["find_thing"]\nv2 = "DELETE /things/{thing_id}"'
    changing = WHOLE.replace('"read"', f'"{access}"\neffects = ["change_thing"]', 1).replace(route, shows)
    workflow = WHOLE.replace(route, 'python = true\nsteps = ["find_thing", "change_thing"]')
    sentence = complaint(tmp_path, more=f"[find_thing]{WHOLE}\n[change_thing]{changing}\n[do_it]{workflow}")
    assert sentence == f"more.toml: [do_it] access: its step change_thing is {access}, so it cannot be read."


def test_a_name_may_be_used_once_over_all_files(tmp_path: Path) -> None:
    sentence = complaint(tmp_path, more=f"[get_thing]{WHOLE}")
    assert "[get_thing] is already in more.toml" in sentence or "[get_thing] is already in things.toml" in sentence


def test_a_name_may_be_used_once_in_a_file(tmp_path: Path) -> None:
    sentence = complaint(tmp_path, more=f"[find_thing]{WHOLE}\n[find_thing]{WHOLE}")
    assert sentence.startswith("more.toml: ")
    assert "declare" in sentence


@pytest.mark.parametrize("shared", ["parameters", "records", "toolsets"])
def test_a_shared_file_that_is_missing_is_named(tmp_path: Path, shared: str) -> None:
    folder = write_manifests(tmp_path / "manifests")
    (folder / f"{shared}.toml").unlink()
    with pytest.raises(ManifestError, match=f"{shared}.toml is missing"):
        load_catalog(folder)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        (
            "parameters",
            PARAMETERS + '[colour]\nshema = { type = "string" }',
            "[colour] shema: this is no key here. Did you mean schema?",
        ),
        ("parameters", PARAMETERS + '[colour]\nin = "cookie"', "[colour] in: it must be 'query'"),
        (
            "records",
            '[thing]\nkeep = ["thing_id"]\nsecrets = ["x"]',
            "[thing] secrets: this is no key here. Did you mean secret?",
        ),
        ("records", '[thing]\ntext = ["note"]', "[thing] keep: it is required."),
        ("toolsets", 'default = ["nothing"]', "default: 'nothing' is unknown. Did you mean things?"),
        ("synonyms", 'delete = ["remove"]', "delete: what people say must be words in one string"),
        ("things", "[broken", "things.toml: "),
    ],
)
def test_the_shared_files_are_checked_like_the_others(tmp_path: Path, file: str, text: str, words: str) -> None:
    sentence = complaint(tmp_path, **{file: text})
    assert sentence.startswith(f"{file}.toml: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("mark", "has", "lacks", "words"),
    [
        ("2.10", ["2.10", "2.11", "3.0", "3.3"], ["2.7", "2.9"], "Airflow 2.10 or newer"),
        ("3.1", ["3.1", "3.10"], ["2.11", "3.0"], "Airflow 3.1 or newer"),
        ("2.10,3.2", ["2.10", "3.2"], ["2.9", "3.0", "3.1"], "Airflow 2.10 to 2.11, or 3.2 and newer"),
        ("v1", ["2.7", "2.11"], ["3.0", "3.3"], "Airflow 2.x"),
        ("v2", ["3.0", "3.3"], ["2.7", "2.11"], "Airflow 3.0 or newer"),
    ],
)
def test_a_mark_says_since_when(mark: str, has: list[str], lacks: list[str], words: str) -> None:
    since = Since.parse(mark)
    assert [text for text in has if not since.has(Version.parse(text))] == []
    assert [text for text in lacks if since.has(Version.parse(text))] == []
    assert str(since) == words


def test_what_is_only_here_exists_in_no_version() -> None:
    assert not any(Since.parse("local").has(Version.parse(text)) for text in ("2.7", "3.0", "3.3"))


def test_the_folder_of_this_product_loads_once() -> None:
    assert load_catalog() is load_catalog()
