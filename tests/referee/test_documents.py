"""Getting a document: once for all, whole or not at all, and with one sentence when it cannot be had."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.referee.documents import DocumentError, read_document
from tests.referee.openapi import Document
from tests.referee.sources import SOURCES

V1 = "airflow/api_connexion/openapi/v1.yaml"
POOLS = """
info: {made: 2025-01-01}
paths:
  /pools/{name}:
    parameters: [{name: name, in: path, schema: {type: string}}]
    get: {responses: {"200": {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}}}
components: {schemas: {Thing: {type: object, properties: {slots: {type: integer}}}}}
"""
USERS = """
paths:
  /users:
    get: {responses: {"200": {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}}}
components: {schemas: {Thing: {type: object, properties: {username: {type: string}}}}}
"""


class Wheels:
    """Stands for an index whose wheels hold these documents."""

    def __init__(self, **documents: str) -> None:
        self.documents = documents or {V1: POOLS}
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path) -> None:
        self.asked.append(requirement)
        for path, text in self.documents.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def everything(text: str = "paths: {}") -> Wheels:
    """An index whose every wheel holds every document there is; Airflow 2's own has a pool, the others `text`."""
    paths = {path for wheels in SOURCES.values() for wheel in wheels for path in wheel.documents}
    return Wheels(**dict.fromkeys(paths, text) | {V1: POOLS})


def test_a_document_comes_out_of_the_wheel_once_and_then_from_the_cache(tmp_path: Path) -> None:
    wheels = Wheels()
    first = read_document("2.7.3", tmp_path, wheels)
    assert first == read_document("2.7.3", tmp_path, wheels)
    assert list(first["paths"]) == ["/api/v1/pools/{name}"]
    assert wheels.asked == ["apache-airflow==2.7.3"]


def test_airflow_3_keeps_its_documents_in_the_wheel_of_its_core(tmp_path: Path) -> None:
    wheels = everything()
    assert read_document("3.0.6", tmp_path, wheels)["paths"] == {}
    assert wheels.asked == ["apache-airflow-core==3.0.6", "apache-airflow-providers-fab==2.4.4"]


def test_what_fab_serves_is_part_of_the_document_and_each_reference_leads_into_its_own_part(tmp_path: Path) -> None:
    document = Document("2.11.2", read_document("2.11.2", tmp_path, everything(USERS)))
    found = {path: document.find("GET", path) for path in ("/api/v1/pools/{}", "/auth/fab/v1/users")}
    schemas = [one.replies["application/json"] for one in found.values() if one]
    assert [[*document.properties(schema)] for schema in schemas] == [["slots"], ["username"]]


def test_two_documents_of_one_wheel_that_have_the_same_file_name_are_both_kept(tmp_path: Path) -> None:
    assert list(read_document("2.8.4", tmp_path, everything(USERS))["paths"]) == [
        "/api/v1/pools/{name}",
        "/auth/fab/v1/users",
    ]


def test_of_an_operation_that_two_documents_have_the_first_counts(tmp_path: Path) -> None:
    wheels = everything()
    new, flask = SOURCES["3.1.8"][1].documents
    wheels.documents |= {
        new: "paths: {/auth/fab/v1/users: {get: {summary: new}}}",
        flask: "paths: {/users: {get: {summary: old}, post: {summary: left}}}",
    }
    item = read_document("3.1.8", tmp_path, wheels)["paths"]["/auth/fab/v1/users"]
    assert {method: spec["summary"] for method, spec in item.items()} == {"get": "new", "post": "left"}


def test_those_who_want_the_same_document_at_once_get_it_from_one_download(tmp_path: Path) -> None:
    wheels = Wheels()
    with ThreadPoolExecutor(4) as pool:
        documents = list(pool.map(lambda _: read_document("2.7.3", tmp_path, wheels), range(4)))
    assert documents == [documents[0]] * 4
    assert len(wheels.asked) == 1


def test_a_wheel_without_the_document_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        DocumentError, match=r"^The wheel of apache-airflow 2\.8\.4 does not hold airflow/auth/\S+\.yaml\.$"
    ):
        read_document("2.8.4", tmp_path, Wheels())
    assert list(tmp_path.rglob("*.yaml")) == list(tmp_path.rglob("*.json")) == []


def test_a_document_that_is_newer_than_its_parsed_form_is_parsed_again(tmp_path: Path) -> None:
    wheels = Wheels()
    read_document("2.7.3", tmp_path, wheels)
    (parsed,) = tmp_path.rglob("*.json")
    parsed.write_text('{"paths": {}}')
    original = parsed.with_suffix(".yaml")
    newer = original.stat().st_mtime_ns + 10**10
    os.utime(original, ns=(newer, newer))
    assert [*read_document("2.7.3", tmp_path, wheels)["paths"]] == ["/api/v1/pools/{name}"]
