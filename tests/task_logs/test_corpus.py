"""The decisive error of every log of the corpus is right, in both forms, and only equal causes have one key."""

from __future__ import annotations

import pytest

from airflow_mcp.task_logs import DecisiveError
from airflow_mcp.task_logs.records import LogForm
from tests.task_logs.score import FORMS, Case, cases, faults, read, split_groups

CASES = cases()


@pytest.fixture(scope="module")
def errors() -> dict[LogForm, dict[str, DecisiveError]]:
    """What is found in each log, by form and case."""
    return {form: {case.name: read(case.logs[form], form) for case in CASES} for form in FORMS}


def test_the_corpus_is_large_and_varied() -> None:
    assert len(CASES) >= 150
    assert len({case.family for case in CASES}) >= 40


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_line_names_the_cause_and_the_excerpt_has_the_chain(
    case: Case, form: LogForm, errors: dict[LogForm, dict[str, DecisiveError]]
) -> None:
    found = errors[form][case.name]
    assert not any(faults(case, found).values()), (faults(case, found), found.what, found.excerpt)
    assert len(found.what) <= 300
    assert len(found.key) <= 300
    assert len(found.excerpt) <= 1_200


@pytest.mark.parametrize("form", FORMS)
def test_cases_have_one_key_exactly_where_they_have_one_cause(
    form: LogForm, errors: dict[LogForm, dict[str, DecisiveError]]
) -> None:
    keys = {name: found.key for name, found in errors[form].items()}
    assert split_groups(keys, {case.name: case.group for case in CASES}) == []
