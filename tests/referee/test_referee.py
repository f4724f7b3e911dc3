"""The referee: every manifest entry against Airflow's own OpenAPI documents, from 2.7 to 3.3."""

from functools import cache

import pytest

from tests.referee.compare import Problem, compare, compare_workflow
from tests.referee.excused import EXCUSED, READS_BY_POST, RECORDS
from tests.referee.loaded import CATALOG, document
from tests.referee.replies import compare_record, compare_reply
from tests.referee.sources import VERSIONS


@cache
def problems_of(version: str) -> list[Problem]:
    return [
        problem
        for tool in CATALOG.operations.values()
        for problem in (*compare(tool, CATALOG, document(version)), *compare_reply(tool, CATALOG, document(version)))
    ]


@cache
def problems_of_records() -> list[Problem]:
    documents = [document(version) for version in VERSIONS]
    return [problem for name in CATALOG.records for problem in compare_record(name, CATALOG, documents)]


def report(title: str, problems: list[Problem], version: str = "") -> None:
    """Fail with every problem that is not excused, one per line."""
    real = [one for one in problems if not any(excuse.covers(one, version) for excuse in EXCUSED)]
    if real:
        lines = "".join(f"\n  {one.tool}: {one.text}" for one in real)
        pytest.fail(f"{title} contradicts the manifests ({len(real)}):{lines}", pytrace=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_entry_fits_the_document_of(version: str):
    report(f"Airflow {version}", problems_of(version), version)


def test_every_field_of_a_record_is_in_a_reply_of_some_version():
    report("What Airflow answers", problems_of_records(), RECORDS)


def test_a_workflow_says_of_an_argument_what_the_request_it_makes_says():
    tools = CATALOG.tools.values()
    report("A workflow's own step", [one for tool in tools for one in compare_workflow(tool, CATALOG)])


def test_a_tool_that_only_reads_never_uses_a_method_that_may_change_something():
    reading = {name: tool.entry for name, tool in CATALOG.operations.items() if tool.entry.access == "read"}
    others = {
        name for name, entry in reading.items() for route in (entry.v1, entry.v2) if route and route.method != "GET"
    }
    assert others == READS_BY_POST.keys()


@pytest.mark.parametrize("version", [*VERSIONS, RECORDS])
def test_every_exception_is_still_needed_in(version: str):
    problems = problems_of_records() if version == RECORDS else problems_of(version)
    listed = {(one.tool, subject) for one in EXCUSED if version in one.versions for subject in one.subjects}
    needed = {(one.tool, one.subject) for one in problems for excuse in EXCUSED if excuse.covers(one, version)}
    assert listed == needed
