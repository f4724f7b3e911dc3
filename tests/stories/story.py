"""What a story is: a question on call, the one call that answers it, and what the answer must and must not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.e2e.harness import Json
from tests.stories.raw import Path

OLD, NEW = "2.11.2", "3.3.2"
BOTH = (NEW, OLD)

Fact = str | re.Pattern[str]
"""A string that must be there as it is, or a pattern that must be found."""


def like(pattern: str) -> re.Pattern[str]:
    """A fact that can be put in several ways."""
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Story:
    """One story. `{url}` in an argument becomes the address of Airflow."""

    name: str
    question: str
    tool: str
    arguments: Json
    says: tuple[Fact, ...]
    raw: Path
    never: tuple[Fact, ...] = ()
    once: tuple[str, ...] = ()
    """What many failures have in common, and is said once."""
    budget: int = 4_000
    requests: int = 12
    versions: tuple[str, ...] = BOTH
    dead: str = ""
    """The process of Airflow that is dead meanwhile."""

    def wrong(self, text: str) -> list[str]:
        """What is wrong with an answer, in words; `text` is what `told` makes of it."""
        missing = [f"does not say {_name(fact)}" for fact in self.says if not _found(fact, text)]
        misled = [f"says {_name(fact)}" for fact in self.never if _found(fact, text)]
        repeated = [f"says {word!r} {text.count(word)} times" for word in self.once if text.count(word) > 1]
        return missing + misled + repeated


def _found(fact: Fact, text: str) -> bool:
    return fact in text if isinstance(fact, str) else fact.search(text) is not None


def _name(fact: Fact) -> str:
    return repr(fact) if isinstance(fact, str) else f"/{fact.pattern}/"


def told(answer: Any) -> str:
    """An answer as a reader sees it, a line a value: "key: value", whatever its shape."""
    return "\n".join(_lines(answer, ""))


def _lines(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, dict):
        if "columns" in value and "rows" in value:
            for row in value["rows"]:
                yield from _lines(dict(zip(value["columns"], row, strict=True)), key)
            value = {name: part for name, part in value.items() if name not in ("columns", "rows")}
        for name, part in value.items():
            yield from _lines(part, str(name))
    elif isinstance(value, list):
        if all(not isinstance(part, dict | list) for part in value):
            yield f"{key}: {', '.join(str(part) for part in value)}"
        else:
            for part in value:
                yield from _lines(part, key)
    else:
        yield f"{key}: {value}"
