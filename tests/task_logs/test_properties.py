"""Failures of different causes never have one key, and those of one cause always have, whatever their data."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mcp.task_logs import decisive_error, describe_differences
from airflow_mcp.task_logs.records import LogForm
from tests.task_logs.generated_logs import CAUSES, FAMILIES, Data, error_of

FORMS: tuple[LogForm, ...] = ("text", "ndjson")
WORDS = st.text("abcdefghijkmnopqrstuvwxyz", min_size=2, max_size=8)
DATA = st.builds(
    Data,
    n=st.integers(0, 10**9),
    host=st.builds("{}-{}.internal".format, WORDS, st.integers(1, 99)),
    path=st.builds("/data/{}/{}.csv".format, WORDS, st.integers(1, 9999)),
    day=st.dates().filter(lambda day: day.year > 1970).map(str),
    uid=st.uuids().map(str),
    name=st.builds("{}-{}".format, WORDS, st.integers(1, 10**6)),
)


@settings(max_examples=150)
@given(st.sampled_from(FAMILIES), st.sampled_from(FORMS), st.sampled_from(CAUSES), DATA, DATA)
def test_equal_causes_with_other_data_have_one_key(
    family: str, form: LogForm, cause: str, one: Data, other: Data
) -> None:
    first, second = error_of(family, cause, one, form), error_of(family, cause, other, form)
    assert first.key == second.key, (first.what, second.what)
    assert not first.died


@settings(max_examples=150)
@given(
    st.sampled_from(FAMILIES),
    st.sampled_from(FAMILIES),
    st.sampled_from(FORMS),
    st.sampled_from(list(combinations(CAUSES, 2))),
    DATA,
    DATA,
)
def test_different_causes_never_have_one_key(
    family: str, other_family: str, form: LogForm, causes: tuple[str, str], one: Data, other: Data
) -> None:
    first, second = error_of(family, causes[0], one, form), error_of(other_family, causes[1], other, form)
    assert first.key != second.key, (first.what, second.what)


@settings(max_examples=100)
@given(st.sampled_from(FAMILIES), st.sampled_from(FORMS), st.sampled_from(CAUSES), DATA)
def test_the_cause_stands_in_the_one_line(family: str, form: LogForm, cause: str, data: Data) -> None:
    error = error_of(family, cause, data, form)
    assert data.fill(cause) in error.what


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_cause_of_a_family_has_a_key_of_its_own(family: str, form: LogForm) -> None:
    data = Data(3, "db-1.internal", "/data/a/1.csv", "2026-11-21", "7b0c2f0e-5817-4259-8b6a-226a277c961d", "x-1")
    keys = {cause: error_of(family, cause, data, form).key for cause in CAUSES}
    assert len(set(keys.values())) == len(CAUSES)


def test_members_of_a_group_are_told_apart_by_their_data() -> None:
    texts = ["ValueError: partner 2: no file s3://in/2.csv", "ValueError: partner 5: no file s3://in/5.csv"]
    assert describe_differences(texts) == "partner 2, file s3://in/2.csv; partner 5, file s3://in/5.csv"
    assert (
        describe_differences([f"ValueError: partner {number} sent nothing" for number in (2, 5)])
        == "partner 2, partner 5"
    )
    assert describe_differences([f"partner {number} sent nothing" for number in range(9)]).endswith(
        "partner 4 and 4 more"
    )
    assert describe_differences(["no disk", "no disk"]) == describe_differences(["one"]) == ""


@pytest.mark.parametrize("form", FORMS)
def test_output_of_any_length_is_read_in_bounded_memory(form: LogForm) -> None:
    line = (
        b'{"timestamp":"2026-11-21T04:02:11Z","level":"info","event":"Error: cannot read %d","logger":"task.stdout"}\n'
    )
    text = b"[2026-11-21T04:02:11.000+0000] {logging_mixin.py:190} INFO - Error: row %d\n"
    pattern = line if form == "ndjson" else text

    def pieces(count: int) -> list[bytes]:
        return [b"".join(pattern % number for number in range(1_000))] * count

    peaks: list[int] = []
    for count in (10, 40):
        log = pieces(count)
        tracemalloc.start()
        decisive_error(log, form)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3


@given(st.text(max_size=300), st.sampled_from(FAMILIES), st.sampled_from(FORMS))
def test_any_text_as_a_cause_is_read_and_its_line_and_key_are_short(text: str, family: str, form: LogForm) -> None:
    data = Data(3, "db-1.internal", "/data/a/1.csv", "2026-11-21", "7b0c2f0e-5817-4259-8b6a-226a277c961d", "x-1")
    error = error_of(family, text, data, form)
    assert 0 < len(error.what) <= 300
    assert 0 < len(error.key) <= 300
    assert "\n" not in error.what + error.key
