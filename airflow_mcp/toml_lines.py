"""Find the line of a key in a TOML file, which the parser of the standard library does not tell."""

from __future__ import annotations

import re

_TABLE = re.compile(r"\s*(\[\[?)([^\[\]]+)\]")
_KEY = re.compile(r"\s*([\w.\-\"']+)\s*=")


def line_of(text: str, path: tuple[str | int, ...]) -> int | None:
    """The 1-based line where `path` (keys, and indexes of arrays of tables) is set, or the nearest table around it."""
    wanted = tuple(map(str, path))
    counts: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    nearest: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            names = _names(match[2])
            if match[1] == "[[":
                counts[names] = counts.get(names, -1) + 1
                table = (*names, str(counts[names]))
            else:
                table = names
            if wanted[: len(table)] == table:
                nearest = number
        elif (match := _KEY.match(line)) and wanted[: len(found := (*table, *_names(match[1])))] == found:
            return number
    return nearest


def _names(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
