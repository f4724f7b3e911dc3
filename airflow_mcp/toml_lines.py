"""Find the line of a key in a TOML file, which the standard library's parser does not report, and name a rule."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""+'
    r"|'''.*?'''+"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[^\s\"'#\[\]{},=.]+"  # bare keys, numbers, and parts of dates
    r"|[\[\]{},=.\n]",
    re.DOTALL,
)
KeyPath = tuple[str, ...]


def find_line(text: str, path: tuple[str | int, ...]) -> int | None:
    """Return the 1-based line that sets `path` (keys and array indexes), or that of the nearest table around it.

    An array around it counts like a table. `text` is TOML that has been parsed before.
    """
    target_path = tuple(map(str, path))
    best_match: tuple[int, int | None] = (0, None)
    for place_path, line in _Reader(text).iterate_places():
        if len(place_path) > best_match[0] and target_path[: len(place_path)] == place_path:
            best_match = len(place_path), line
    return best_match[1]


def name_rule(path: tuple[str | int, ...]) -> str:
    """Name the permission rule at a path: ("policy", "deny", 0) is "deny rule 1"; any other path is dotted."""
    match path:
        case ("policy", "allow" | "deny" as kind, int(index), *_):
            return f"{kind} rule {index + 1}"
        case ("instances", str(instance), "allow" | "deny" as kind, int(index), *_):
            return f"{instance}: {kind} rule {index + 1}"
        case _:
            return ".".join(map(str, path))


class _Reader:
    """Reads the file once, and yields the path and the line of everything that it sets."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, int, int]] = []  # text, line, offset
        line, offset = 1, 0
        for match in _TOKEN.finditer(text):
            line, offset = line + text.count("\n", offset, match.start()), match.start()
            if not match[0].startswith("#"):
                self._tokens.append((match[0], line, match.start()))
        self._next = 0

    def iterate_places(self) -> Iterator[tuple[KeyPath, int]]:
        """Yield each table, key and array element, in the file's order."""
        counts: dict[KeyPath, int] = {}
        table: KeyPath = ()
        while self._peek():
            _, line, offset = self._tokens[self._next]
            if self._skip("\n"):
                continue
            if self._skip("["):
                is_array = self._peek() == "[" and self._tokens[self._next][2] == offset + 1
                self._next += is_array
                table = self._key(counts)
                self._next += 1 + is_array
                if is_array:
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, str(counts[table]))
                yield table, line
            else:
                yield from self._pair(table)

    def _pair(self, table: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        line = self._tokens[self._next][1]
        path = (*table, *self._key({}))
        self._next += 1  # the "="
        yield path, line
        yield from self._value(path)

    def _value(self, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        if self._skip("["):
            index = 0
            while not self._skip("]"):
                if self._skip("\n"):
                    continue
                if self._skip(","):
                    index += 1
                    continue
                yield (*path, str(index)), self._tokens[self._next][1]
                yield from self._value((*path, str(index)))
        elif self._skip("{"):
            while not self._skip("}"):
                if not (self._skip(",") or self._skip("\n")):
                    yield from self._pair(path)
        else:
            while self._peek() not in ("", "\n", ",", "]", "}"):
                self._next += 1

    def _key(self, counts: dict[KeyPath, int]) -> KeyPath:
        """Read a dotted key; behind the name of an array of tables, a key belongs to the array's latest table."""
        parts: KeyPath = ()
        while self._peek() not in ("", "=", "]"):
            if not self._skip("."):
                part = self._tokens[self._next][0]
                parts = (*parts, str(tomllib.loads(f"x = {part}")["x"]) if part[0] in "\"'" else part)
                self._next += 1
                if parts in counts and self._peek() == ".":
                    parts = (*parts, str(counts[parts]))
        return parts

    def _peek(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _skip(self, token: str) -> bool:
        is_next = self._peek() == token
        self._next += is_next
        return is_next
