"""Real text of a known choice, and what redaction masks in it: logs, DAG sources and the documents of providers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_mcp.demo.install import find_cache_folder, install
from airflow_mcp.redact import is_sensitive, redact_text
from airflow_mcp.text import clean, map_strings

from .harness import VERSIONS

LOGS = Path(__file__).parent.parent / "task_logs" / "corpus"
LINES = {"logs": 1_500, "DAGs": 1_800, "providers": 1_700}
"""How many lines of each kind are read, 5,000 in all."""
_STARS = re.compile(r"\*(?:\s*\*)+")  # would look like masks
_LONGEST = 80  # characters of an excerpt


@dataclass(frozen=True)
class Sample:
    """The lines of one file that are read."""

    source: str
    text: str


@dataclass(frozen=True)
class Mask:
    """A mask that redaction made: where, what stands before it in its line, and the text that it hides."""

    source: str
    before: str
    hidden: str
    words: int


def choose_samples() -> list[Sample]:
    """Choose whole files, those that speak of secrets most first, until the lines of each kind are full.

    The Airflows are those of the live tests, with every package pinned, so the choice is always the same.

    Raises:
        DemoError: an Airflow cannot be installed.
    """
    pythons = [install(version, find_cache_folder(), print) for version in VERSIONS]
    folders = sorted(
        folder for python in pythons for folder in python.parent.parent.glob("lib/python3.*/site-packages")
    )
    files = {
        "logs": [(path.name, path) for path in LOGS.glob("*.log")],
        "DAGs": _files(folders, "airflow/**/example_dags/**/*.py"),
        "providers": [
            *(
                (source, path)
                for source, path in _files(folders, "airflow/providers/**/*.py")
                if "example" not in source
            ),
            *_files(folders, "apache_airflow_providers_*.dist-info/METADATA"),
        ],
    }
    return [sample for kind, size in LINES.items() for sample in _fill(files[kind], size)]


def _files(folders: list[Path], pattern: str) -> list[tuple[str, Path]]:
    return [(path.relative_to(folder).as_posix(), path) for folder in folders for path in folder.glob(pattern)]


def _fill(files: list[tuple[str, Path]], size: int) -> Iterator[Sample]:
    texts = {path.read_text(encoding="utf-8", errors="replace"): source for source, path in files}
    for text, source in sorted(texts.items(), key=lambda item: (-_telling_share(item[0]), item[1], item[0])):
        lines = [_normalize(line) for line in text.splitlines()[:size]]
        size -= len(lines)
        if lines:
            yield Sample(source, "\n".join(lines))


def _telling_share(text: str) -> float:
    """Compute how many words of a text are, or hold, a telling name."""
    words = re.findall(r"\w+", text)
    return sum(map(is_sensitive, words)) / max(len(words), 100)


def _normalize(line: str) -> str:
    """Write a line of JSON as redaction writes it, so that a difference between the two texts is a mask."""
    line = clean(line)
    if line.startswith("{"):
        with suppress(ValueError):  # no JSON
            line = json.dumps(map_strings(json.loads(line), clean), ensure_ascii=False)
    return _STARS.sub("*", line)


def find_masks(sample: Sample) -> list[Mask]:
    """Find what is masked in a text, by comparing it with its redacted form, white space aside."""
    text = sample.text
    places = [place for place, character in enumerate(text) if not character.isspace()]
    dense = "".join(text[place] for place in places)
    first, *parts = "".join(redact_text(text).split()).split("***")
    assert dense.startswith(first), sample.source
    masks: list[Mask] = []
    position = len(first)
    for number, part in enumerate(parts, 1):
        end = dense.find(part, position + 1) if number < len(parts) else len(dense) - len(part)
        assert end > position, (sample.source, part[:_LONGEST])
        start, stop = places[position], places[end - 1] + 1
        before = text[text.rfind("\n", 0, start) + 1 : start].strip()[-_LONGEST:]
        hidden = " ".join(text[start:stop].split())
        masks.append(Mask(sample.source, before, hidden[:_LONGEST], len(hidden.split())))
        position = end + len(part)
    return masks
