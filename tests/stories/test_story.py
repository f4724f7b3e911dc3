"""The judge of the stories: an answer of any shape is read, and what is missing, wrong or said twice is found."""

from __future__ import annotations

import pytest

from tests.stories.asking import Cost
from tests.stories.raw import morning
from tests.stories.story import Story, like, told
from tests.stories.table import Row, drawn

STORY = Story(
    "a full pool",
    "Why?",
    "why_not_running",
    {},
    says=("warehouse", like(r"slots: 2\b")),
    never=(like("is paused"),),
    once=("copy-1",),
    raw=morning,
)
RIGHT = {"pool": {"name": "warehouse", "slots": 2}, "holders": ["copy-1", "copy-2"]}


def test_an_answer_is_read_a_line_a_value_whatever_its_shape() -> None:
    answer = {
        "columns": ["pool", "slots"],
        "rows": [["warehouse", 2], ["default", 128]],
        "total": 2,
        "by": [{"runs": ["copy-1", "copy-2"]}, {"runs": []}],
        "said": 'a "quoted"\nword',
    }
    assert told(answer).splitlines() == [
        "pool: warehouse",
        "slots: 2",
        "pool: default",
        "slots: 128",
        "total: 2",
        "runs: copy-1, copy-2",
        "runs: ",
        'said: a "quoted"',
        "word",
    ]


def test_a_right_answer_has_nothing_wrong() -> None:
    assert STORY.wrong(told(RIGHT)) == []


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ({}, ["does not say 'warehouse'", r"does not say /slots: 2\b/"]),
        (RIGHT | {"pool": {"name": "warehouse", "slots": 20}}, [r"does not say /slots: 2\b/"]),
        (RIGHT | {"reason": "The DAG is paused."}, ["says /is paused/"]),
        (RIGHT | {"more": "copy-1 again"}, ["says 'copy-1' 2 times"]),
    ],
)
def test_what_is_wrong_is_said_in_words(answer: dict[str, object], wrong: list[str]) -> None:
    assert STORY.wrong(told(answer)) == wrong


def test_the_table_has_a_line_a_story_with_both_costs() -> None:
    ours, theirs = Cost(1, 900, 3, 2), Cost(4, 12_345, 4, 1)
    head, line = drawn([Row(STORY, "3.3.2", ours, theirs, "", "", ["says nothing"])]).splitlines()
    assert head.split()[:3] == ["Airflow", "story", "right"]
    assert line.split() == ["3.3.2", "a", "full", "pool", "NO", "1", "900", "3", "4", "12,345", "4"]
