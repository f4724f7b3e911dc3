"""Tells every story to the server and to its raw operations, and puts what each cost into a table."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal

from airflow_mcp.demo.local_airflow import ignore_report
from airflow_mcp.demo.processes import Report
from tests.e2e.guard import guarded
from tests.e2e.harness import VERSIONS, Json, Site, text_of
from tests.stories.asking import Asker, Cost, asking
from tests.stories.story import Story, told
from tests.stories.truth import of
from tests.stories.world import World


@dataclass(frozen=True)
class Row:
    """One story on one Airflow: what the one call and the raw operations cost, and what is wrong with its answer."""

    story: Story
    version: str
    cost: Cost
    raw: Cost
    text: str
    said: str
    wrong: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether the answer says what is true, and nothing else, within the budget."""
        return not self.wrong


async def tell(site: Site, stories: Iterable[Story] | None = None) -> list[Row]:
    """A row for each story of this Airflow, in turn."""
    async with asking(site) as asker:
        return [await _tell(asker, site, story) for story in (of(site.version) if stories is None else stories)]


def tell_everywhere(report: Report = ignore_report, *words: str) -> list[Row]:
    """The stories whose Airflow and name have all these words, on Airflows served for it and gone afterwards."""
    chosen = {v: [one for one in of(v) if all(word in f"{v} {one.name}" for word in words)] for v in VERSIONS}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, start_blocking_portal() as portal, ExitStack() as undo:
        homes = {version: Path(folder) / version for version in VERSIONS}
        undo.enter_context(guarded([*homes.values()]))
        for version, stories in chosen.items():
            if stories:
                with World.serve(version, homes[version], report) as world:
                    rows += portal.call(tell, Site(world, portal, homes[version]), stories)
    return rows


async def _tell(asker: Asker, site: Site, story: Story) -> Row:
    assert isinstance(site.airflow, World)
    with site.airflow.dead(story.dead) if story.dead else nullcontext():
        raw = asker.begin()
        await story.raw(asker)
        cost = asker.begin()
        result = await asker.result(story.tool, _filled(story.arguments, site.airflow.url))
    text = text_of(result)
    said = told(result.structured_content or {"error": text})
    wrong = story.wrong(said)
    if result.is_error:
        wrong.insert(0, f"is refused: {text[:200]}")
    if len(text) > story.budget:
        wrong.append(f"has {len(text)} characters, {story.budget} are allowed")
    if cost.requests > story.requests:
        wrong.append(f"sends {cost.requests} requests, {story.requests} are allowed")
    return Row(story, site.version, cost, raw, text, said, wrong)


def _filled(arguments: Json, url: str) -> dict[str, Any]:
    return {name: value.replace("{url}", url) if isinstance(value, str) else value for name, value in arguments.items()}


def drawn(rows: Iterable[Row]) -> str:
    """The rows for people: the one call first, then what the raw operations cost."""
    head = (
        "Airflow",
        "story",
        "right",
        "calls",
        "characters",
        "requests",
        "raw calls",
        "raw characters",
        "raw requests",
    )
    lines = [
        (
            row.version,
            row.story.name,
            "yes" if row.right else "NO",
            *(f"{cost:,}" for cost in (row.cost.calls, row.cost.characters, row.cost.requests)),
            *(f"{cost:,}" for cost in (row.raw.calls, row.raw.characters, row.raw.requests)),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]

    def written(line: tuple[str, ...]) -> str:
        cells = [
            cell.ljust(w) if column < 3 else cell.rjust(w)
            for column, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join(written(line) for line in [head, *lines])


if __name__ == "__main__":
    # Words choose: `python -m tests.stories.table 3.3.2 pool` tells the stories of pools on that Airflow.
    table = tell_everywhere(lambda doing: print(f"{doing} ...", flush=True), *sys.argv[1:])
    for wrong in [row for row in table if not row.right]:
        print(f"\n{wrong.version} {wrong.story.name}: {'; '.join(wrong.wrong)}\n{wrong.text}")
    print(f"\n{drawn(table)}")
