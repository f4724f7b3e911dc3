"""Check that an entry states what it changes: its `effects` and `kinds`, against the entries that they name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from airflow_mcp.catalog.grammar import Access, Entry, Parameter
from airflow_mcp.errors import ManifestError

CLASSES: tuple[Access, ...] = ("read", "write", "destructive", "admin")  # the strictest last


def check_effects(name: str, file: str, entry: Entry, entries: dict[str, Entry]) -> None:
    """Check the effects of an entry. Raises ManifestError for a change that states them wrongly, or not at all."""

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
        effect_entry = entries.get(use.name)
        require(effect_entry is not None, "effects", f"{use.name!r} is no tool.{_suggest_near(use.name, entries)}")
        assert effect_entry is not None
        effect_names = [effect.name for effect in effect_entry.effects]
        require(
            use.name in effect_names,
            "effects",
            f"{use.name} is only a way to {', '.join(effect_names) or 'reads'}: name these.",
        )
        require(
            CLASSES.index(effect_entry.access) <= CLASSES.index(entry.access),
            "access",
            f"its effect {use.name} is {effect_entry.access}, so it cannot be {entry.access}.",
        )
        require(
            effect_entry.scope.nouns <= entry.scope.nouns,
            "scope",
            f"its effect {use.name} touches a {' and a '.join(sorted(effect_entry.scope.nouns - entry.scope.nouns))}.",
        )
        listing = entries.get(use.each)
        is_list = bool(listing and listing.access == "read" and listing.rows)
        require(
            not use.each or use.each in arguments or is_list,
            "effects",
            f"{use.each!r} is neither an argument nor a list.{_suggest_near(use.each, arguments)}",
        )
    has_own_effect = name in {use.name for use in entry.effects}
    require(has_own_effect or not entry.kinds, "kinds", "those of its effects hold; it has none of its own.")
    stated_names = {use.name for use in entry.effects}
    for step in entry.steps:
        if step in entries and (missing_names := sorted({use.name for use in entries[step].effects} - stated_names)):
            require(
                False, "effects", f"its step {step} has the effect {', '.join(missing_names)}, which is missing here."
            )


def check_conditions(name: str, file: str, entry: Entry, parameters: dict[str, Parameter]) -> None:
    """Check the conditions of effects and kinds. Raises ManifestError for an unknown argument or impossible value."""
    tables = {use.name: use.table for use in entry.params}
    for key, uses in (("effects", entry.effects), ("kinds", entry.kinds)):
        for condition in (use.when for use in uses if use.when):
            parameter = parameters.get(tables.get(condition.argument, ""))
            if parameter is None:
                suggestion = _suggest_near(condition.argument, tables)
                raise ManifestError(f"{file}: [{name}] {key}: {condition.argument!r} is no argument of it.{suggestion}")
            schema = parameter.json_schema
            values = ["true", "false"] if schema.get("type") == "boolean" else schema.get("enum", [condition.value])
            if condition.value not in values:
                suggestion = _suggest_near(condition.value, values)
                raise ManifestError(
                    f"{file}: [{name}] {key}: {condition.argument} is never {condition.value!r}.{suggestion}"
                )


def _suggest_near(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
