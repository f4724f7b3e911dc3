"""Every story there is; each is true on the Airflows that tests/stories serves."""

from __future__ import annotations

from tests.stories import truth_failed, truth_other, truth_waiting
from tests.stories.story import Story

STORIES: tuple[Story, ...] = (*truth_failed.STORIES, *truth_waiting.STORIES, *truth_other.STORIES)


def of(version: str) -> list[Story]:
    """The stories of this Airflow."""
    return [story for story in STORIES if version in story.versions]
