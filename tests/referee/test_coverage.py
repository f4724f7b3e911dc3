"""Every operation of Airflow's API documents is the route of an entry, or left out by name with the reason."""

from pathlib import Path

import pytest

from airflow_mcp.catalog.loader import Catalog, load_catalog
from tests.referee.coverage import Vocabulary, coverage, every, routed, table
from tests.referee.left_out import LEFT_OUT, LeftOut
from tests.referee.loaded import CATALOG, document
from tests.referee.sources import VERSIONS
from tests.referee.test_referee_sees import MANIFESTS, api


@pytest.mark.parametrize("version", VERSIONS)
def test_every_operation_is_a_route_or_left_out_by_name_in(version: str) -> None:
    missing = coverage(CATALOG, document(version)).missing
    if missing:
        lines = "".join(f"\n  {operation}" for operation in missing)
        counts = table(CATALOG, [document(version)])
        pytest.fail(f"Airflow {version} has operations that no tool has ({len(missing)}):{lines}\n{counts}", False)


@pytest.mark.parametrize("one", LEFT_OUT, ids=lambda one: one.operations[0])
def test_what_is_left_out_exists_and_is_the_route_of_no_entry(one: LeftOut) -> None:
    versions = [document(version) for version in VERSIONS]
    mine = [document for document in versions if document.version.generation == one.generation]
    there = {operation for document in mine for operation in every(document)}
    ours = {operation for document in mine for operation in routed(CATALOG, document.version)}
    assert {operation for operation in one.operations if operation not in there or operation in ours} == set()


@pytest.mark.parametrize("one", LEFT_OUT, ids=lambda one: one.operations[0])
def test_what_does_the_same_as_something_left_out_is_a_tool(one: LeftOut) -> None:
    assert set(one.instead) - CATALOG.tools.keys() == set()


def test_nothing_is_left_out_twice() -> None:
    named = [(one.generation, operation) for one in LEFT_OUT for operation in one.operations]
    assert len(named) == len(set(named))


def small(folder: Path, without: str = "") -> Catalog:
    """The catalog of the small API, with `without` cut from its entries."""
    for file, text in MANIFESTS.items():
        (folder / file).write_text(text.replace(without, "", 1) if without else text)
    return load_catalog(folder)


def test_a_route_and_each_way_to_leave_out_its_optional_slot_are_covered(tmp_path: Path) -> None:
    found = coverage(small(tmp_path), api("3.2.2"), [])
    assert found.missing == []
    assert found.routes == [
        "GET /api/v2/things",
        "POST /api/v2/things",
        "GET /api/v2/things/{}",
        "GET /api/v2/things/{}/{}",
    ]


def test_an_operation_without_an_entry_is_missing_until_it_is_left_out(tmp_path: Path) -> None:
    catalog = small(tmp_path, without="[/{part}]")
    operation = "GET /api/v2/things/{}/{}"
    assert coverage(catalog, api("3.2.2"), []).missing == [operation]
    folded = coverage(catalog, api("3.2.2"), [LeftOut("v2", (operation,), "another has it", ("get_thing",))])
    assert (folded.missing, folded.folded) == ([], [operation])
    excused = coverage(catalog, api("3.2.2"), [LeftOut("v2", (operation,), "must not be")])
    assert (excused.missing, excused.excused) == ([], [operation])


def test_what_is_left_out_of_one_generation_is_missing_in_the_other(tmp_path: Path) -> None:
    catalog = small(tmp_path, without='v1 = "GET /things"\n')
    out = [LeftOut("v2", ("GET /api/v1/things",), "of the other")]
    assert coverage(catalog, api("2.11.2"), out).missing == ["GET /api/v1/things"]


def test_an_entry_that_a_version_lacks_is_no_route_of_it(tmp_path: Path) -> None:
    assert "POST /api/v2/things" not in coverage(small(tmp_path), api("3.1.8"), []).routes


def test_what_both_generations_have_is_counted_once(tmp_path: Path) -> None:
    catalog = small(tmp_path)
    assert Vocabulary(catalog).logical(["GET /api/v1/things", "GET /api/v2/things"]) == {"GET /api/v2/things"}
    counts = [line.split() for line in table(catalog, [api("2.11.2"), api("3.2.2")]).splitlines()]
    assert counts[1:] == [
        ["2.11.2", "1", "1", "0", "0", "0"],
        ["3.2.2", "4", "4", "0", "0", "0"],
        ["all", "4", "4", "0", "0", "0"],
    ]
