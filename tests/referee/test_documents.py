"""Getting a document: once for all, whole or not at all, and with one sentence when it cannot be had."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.referee.documents import DocumentError, read_document


class Wheels:
    """Stands for an index with one wheel, which holds the document at `path`."""

    def __init__(self, path: str = "airflow/api_connexion/openapi/v1.yaml") -> None:
        self.path = path
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path) -> None:
        self.asked.append(requirement)
        file = folder / self.path
        file.parent.mkdir(parents=True)
        file.write_text("paths: {}\ninfo: {made: 2025-01-01}\n")


def test_a_document_comes_out_of_the_wheel_once_and_then_from_the_cache(tmp_path: Path) -> None:
    wheels = Wheels()
    first = read_document("2.11.2", tmp_path, wheels)
    assert first == read_document("2.11.2", tmp_path, wheels) == {"paths": {}, "info": {"made": "2025-01-01"}}
    assert wheels.asked == ["apache-airflow==2.11.2"]


def test_airflow_3_keeps_its_document_in_the_wheel_of_its_core(tmp_path: Path) -> None:
    wheels = Wheels("airflow/api_fastapi/core_api/openapi/v2-rest-api-generated.yaml")
    assert read_document("3.0.6", tmp_path, wheels)["paths"] == {}
    assert wheels.asked == ["apache-airflow-core==3.0.6"]


def test_those_who_want_the_same_document_at_once_get_it_from_one_download(tmp_path: Path) -> None:
    wheels = Wheels()
    with ThreadPoolExecutor(4) as pool:
        documents = list(pool.map(lambda _: read_document("2.11.2", tmp_path, wheels), range(4)))
    assert documents == [documents[0]] * 4
    assert len(wheels.asked) == 1


def test_a_wheel_without_the_document_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        DocumentError, match=r"^The wheel of apache-airflow 2\.11\.2 does not hold airflow/\S+\.yaml\.$"
    ):
        read_document("2.11.2", tmp_path, Wheels("airflow/elsewhere.yaml"))
    assert list(tmp_path.glob("*.yaml")) == list(tmp_path.glob("*.json")) == []


def test_a_document_that_is_newer_than_its_parsed_form_is_parsed_again(tmp_path: Path) -> None:
    wheels = Wheels()
    read_document("2.11.2", tmp_path, wheels)
    parsed = tmp_path / "2.11.2.json"
    parsed.write_text("{}")
    original = (tmp_path / "2.11.2.yaml").stat()
    newer = original.st_mtime_ns + 10**10
    os.utime(tmp_path / "2.11.2.yaml", ns=(newer, newer))
    assert read_document("2.11.2", tmp_path, wheels)["paths"] == {}
