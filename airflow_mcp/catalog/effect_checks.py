"""Whether an entry states what it changes: `effects` and `kinds`, held against the entries that they name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from airflow_mcp.catalog.grammar import Access, Entry, Parameter
from airflow_mcp.errors import ManifestError

CLASSES: tuple[Access, ...] = ("read", "write", "destructive", "admin")  # the strictest last


def check_effects(name: str, file: str, entry: Entry, entries: dict[str, Entry]) -> None:
    """Raises ManifestError for a change that does not say what it changes, or says it wrongly."""

    def require(right: bool, key: str, sentence: str) -> None:
        if not right:
            raise ManifestError(f"{file}: [{name}] {key}: {sentence}")

    if entry.access == "read" or entry.forwards:
        require(not entry.effects, "effects", "a tool that changes nothing itself has none.")
        require(not entry.kinds, "kinds", "a tool that changes nothing itself has none.")
        return
    require(
        bool(entry.effects),
        "effects",
        f'required for what changes something: effects = ["{name}"] if no other tool does it, else the tools that do.',
    )
    arguments = {use.name for use in entry.params}
    for use in entry.effects:
        other = entries.get(use.name)
        require(other is not None, "effects", f"{use.name!r} is no tool.{_suggest_near(use.name, entries)}")
        assert other is not None
        does = [one.name for one in other.effects]
        require(use.name in does, "effects", f"{use.name} is only a way to {', '.join(does) or 'reads'}: name these.")
        require(
            CLASSES.index(other.access) <= CLASSES.index(entry.access),
            "access",
            f"its effect {use.name} is {other.access}, so it cannot be {entry.access}.",
        )
        require(
            other.scope.nouns <= entry.scope.nouns,
            "scope",
            f"its effect {use.name} touches a {' and a '.join(sorted(other.scope.nouns - entry.scope.nouns))}.",
        )
        listing = entries.get(use.each)
        listed = bool(listing and listing.access == "read" and listing.rows)
        require(
            not use.each or use.each in arguments or listed,
            "effects",
            f"{use.each!r} is neither an argument nor a list.{_suggest_near(use.each, arguments)}",
        )
    own = name in {use.name for use in entry.effects}
    require(own or not entry.kinds, "kinds", "those of its effects hold; it has none of its own.")
    stated = {use.name for use in entry.effects}
    for step in entry.steps:
        if step in entries and (unstated := sorted({use.name for use in entries[step].effects} - stated)):
            require(False, "effects", f"its step {step} has the effect {', '.join(unstated)}, which is missing here.")


def check_conditions(name: str, file: str, entry: Entry, parameters: dict[str, Parameter]) -> None:
    """Raises ManifestError for an `if` about an argument that is not there, or a value that it never has."""
    described = {use.name: use.table for use in entry.params}
    for key, uses in (("effects", entry.effects), ("kinds", entry.kinds)):
        for when in (use.when for use in uses if use.when):
            parameter = parameters.get(described.get(when.argument, ""))
            if parameter is None:
                near = _suggest_near(when.argument, described)
                raise ManifestError(f"{file}: [{name}] {key}: {when.argument!r} is no argument of it.{near}")
            schema = parameter.json_schema
            values = ["true", "false"] if schema.get("type") == "boolean" else schema.get("enum", [when.value])
            if when.value not in values:
                near = _suggest_near(when.value, values)
                raise ManifestError(f"{file}: [{name}] {key}: {when.argument} is never {when.value!r}.{near}")


def _suggest_near(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
