"""What a parsed call does, effect by effect, and what each of them touches. Pure.

An effect is an operation that changes Airflow, named by the tool that does only that. Most tools have one, their own; a
vehicle (`bulk_pools`, `plan_recovery`) has those of others, each with its own ids. A read is decided like one effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_mcp.catalog.effect_checks import CLASSES
from airflow_mcp.catalog.grammar import Access, Json, Noun
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.catalog.manifest_syntax import EffectUse, Kind
from airflow_mcp.policy.rules import NOUNS

TargetIds = dict[Noun, frozenset[str] | None]  # ids, or None for everything of that noun
ARGUMENTS: dict[Noun, tuple[str, ...]] = {  # where the ids of a noun stand, in a call or in an entity of a bulk call
    "dag": ("dag_id", "dag_ids"),
    "pool": ("pool_name",),
    "variable": ("variable_key",),
    "connection": ("connection_id",),
}


@dataclass(frozen=True)
class Effect:
    """One effect of a call."""

    tool: Tool  # the tool that does only that, by which rules know it
    target_ids: TargetIds
    kinds: frozenset[Kind] = frozenset()
    arguments: Json = field(default_factory=dict[str, Any], compare=False)  # as that tool would be called

    @property
    def changes(self) -> bool:
        """Whether it changes Airflow, rather than reads."""
        return self.tool.entry.access != "read"


def find_target_ids(tool: Tool, arguments: Json) -> TargetIds:
    """What the parsed call touches of each noun in its entry's scope."""
    target_ids: TargetIds = {}
    for noun in NOUNS:
        where = getattr(tool.entry.scope, noun)
        if where is None:
            continue
        ids = _read_ids(tool, noun, arguments) if where != "every_row" else None
        target_ids[noun] = ids or None
    return target_ids


def _read_ids(tool: Tool, noun: Noun, arguments: Json) -> frozenset[str] | None:
    """The ids of a noun that a call names; None where it may touch others."""
    singly, several = set[str](), set[str]()
    for name in ARGUMENTS[noun]:
        value = arguments.get(name)
        if isinstance(value, list):
            several |= {str(item) for item in value}
        elif value is not None:
            singly.add(str(value))
    if tool.entry.instead and several:  # "~" and a list of ids: those of the list
        singly.discard("~")
    ids = singly | several
    return None if "~" in ids else frozenset(ids)


def derive_effects(tool: Tool, arguments: Json) -> tuple[Effect, ...]:
    """The effects of a call, or of a read that alone. Arguments of any kind give some effect, and the wider one.

    Where the arguments do not say which of its effects a tool would have, it could have each of them on everything.
    """
    entry = tool.entry
    if not entry.effects:
        return (Effect(tool, find_target_ids(tool, arguments), arguments=arguments),)
    known = {name: gated.value for name, gated in entry.default.both.items()} | arguments
    by_name = {one.name: one for one in tool.effects}
    named = [use for use in entry.effects if use.when is None or use.when.holds(known)]
    found = [effect for use in named for effect in _derive_each(tool, by_name[use.name], use, known)]
    return tuple(found) or tuple(_build_unbounded(one) for one in tool.effects)


def _derive_each(tool: Tool, operation: Tool, use: EffectUse, arguments: Json) -> list[Effect]:
    """One effect of an entry: on the call's own ids, or on those of each item of a list."""
    if all(use.each != parameter.name for parameter in tool.entry.params):
        kinds = operation.entry.list_kinds(arguments)
        return [Effect(operation, find_target_ids(operation, arguments), kinds, arguments)]
    items = arguments.get(use.each)
    if items is None or items == []:  # some clients write a list of none for what they leave out
        return []
    if not isinstance(items, list):
        return [_build_unbounded(operation)]
    lists = {one.each for one in tool.entry.effects}
    rest = {name: value for name, value in arguments.items() if name not in lists}
    fields = {one.field for one in tool.entry.effects if one.each == use.each}
    bulk = tool.entry.bulk
    key = [*bulk.ids][-1] if bulk else use.each.removesuffix("s")  # what a text among the items is
    effects: list[Effect] = []
    for item in items:  # pyright: ignore[reportUnknownVariableType]
        entity: Json = item if isinstance(item, dict) else {key: str(item)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if not use.field or use.field in entity or not fields & entity.keys():
            target_ids: TargetIds = {
                noun: _read_entity_ids(noun, rest, entity) for noun in find_target_ids(operation, {})
            }
            named = _rename_fields(operation, rest | entity, bulk.ids if bulk else {})
            effects.append(Effect(operation, target_ids, operation.entry.list_kinds(named), named))
    return effects


def _read_entity_ids(noun: Noun, arguments: Json, entity: Json) -> frozenset[str] | None:
    """The ids of a noun that an entity names and that the call around it names; "~" there leaves it to the entity."""
    own = next((str(entity[name]) for name in ARGUMENTS[noun] if entity.get(name)), "")
    around = {str(arguments[name]) for name in ARGUMENTS[noun] if arguments.get(name) is not None}
    ids = (around - {"~"} if own else around) | ({own} if own else set())
    return None if "~" in ids or not ids else frozenset(ids)


def _rename_fields(operation: Tool, fields: Json, ids: dict[str, str]) -> Json:
    """An entity's fields under the names that the operation has for them."""
    taken = {use.name for use in operation.entry.params}
    return {ids[name] if ids.get(name, name) in taken and name in ids else name: one for name, one in fields.items()}


def _build_unbounded(operation: Tool) -> Effect:
    return Effect(operation, dict.fromkeys(find_target_ids(operation, {}), None), operation.entry.possible_kinds)


def extend_to_dags(effects: tuple[Effect, ...], dag_ids: Iterable[str]) -> tuple[Effect, ...]:
    """The effects with the DAGs that a dry run found: dependent tasks stand in other DAGs too."""
    found = frozenset(dag_ids)
    if not found:
        return effects
    first = effects[0]
    if len(effects) == 1:
        return (
            replace(first, target_ids=first.target_ids | {"dag": found | (first.target_ids.get("dag") or frozenset())}),
        )
    named = frozenset[str]().union(*(effect.target_ids.get("dag") or () for effect in effects))
    return (*effects, *(replace(first, target_ids={"dag": frozenset({one})}) for one in sorted(found - named)))


def list_target_names(effects: Iterable[Effect]) -> tuple[str, ...]:
    """What a call names, as "dag etl"; "dag ~" where it names none and so could mean any."""
    target_ids = [(noun, ids) for effect in effects for noun, ids in effect.target_ids.items()]
    named = {(noun, one) for noun, ids in target_ids for one in ids or ("~",)}
    return tuple(f"{noun} {one}" for noun, one in sorted(named))


def list_effect_names(effects: Iterable[Effect]) -> tuple[str, ...]:
    """The names of those that change something, each once."""
    return tuple(dict.fromkeys(effect.tool.name for effect in effects if effect.changes))


def choose_strictest_class(effects: Iterable[Effect]) -> Access:
    """The class of the strictest of these."""
    classes: list[Access] = [effect.tool.entry.access for effect in effects]
    return max(classes, key=CLASSES.index)
