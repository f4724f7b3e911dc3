"""Every story, told on both Airflows: the one call says what is true, within its budget and its requests."""

from __future__ import annotations

import anyio
import pytest

from tests.e2e.harness import VERSIONS, Site
from tests.stories.table import Row, tell
from tests.stories.truth import STORIES, of

AT_ONCE = 8
"""Requests that may be under way at the same time."""

TOLD = [(version, story.name) for version in VERSIONS for story in of(version)]


@pytest.fixture(scope="session")
def rows(sites: dict[str, Site]) -> dict[tuple[str, str], Row]:
    """The table, told once."""
    return {(row.version, row.story.name): row for site in sites.values() for row in anyio.run(tell, site)}


@pytest.mark.parametrize(("version", "name"), TOLD, ids=[f"{version}-{name}" for version, name in TOLD])
def test_a_story_is_answered_rightly_in_one_call(rows: dict[tuple[str, str], Row], version: str, name: str) -> None:
    row = rows[version, name]
    assert row.right, f"{row.story.question}\n{row.story.tool} {row.story.arguments}: {row.wrong}\n{row.text}"
    assert row.cost.calls == 1


@pytest.mark.parametrize(("version", "name"), TOLD, ids=[f"{version}-{name}" for version, name in TOLD])
def test_an_answer_sends_few_requests_at_once(rows: dict[tuple[str, str], Row], version: str, name: str) -> None:
    row = rows[version, name]
    assert row.cost.requests > 0, row.text
    assert row.cost.at_once <= AT_ONCE


@pytest.mark.parametrize(("version", "name"), TOLD, ids=[f"{version}-{name}" for version, name in TOLD])
def test_an_answer_would_be_wrong_for_another_dags_story(
    rows: dict[tuple[str, str], Row], version: str, name: str
) -> None:
    row = rows[version, name]
    mine = row.story.arguments.get("dag_id")
    others = [story for story in of(version) if story.tool == row.story.tool and mine and "dag_id" in story.arguments]
    fitting = [story.name for story in others if story.arguments["dag_id"] != mine and not story.wrong(row.said)]
    assert fitting == [], row.text


def test_every_story_has_a_name_of_its_own() -> None:
    names = [story.name for story in STORIES]
    assert len(set(names)) == len(names)
