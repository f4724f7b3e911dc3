"""Effects of a parsed call, and the ids that each of them touches. Pure.

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
ARGUMENTS: dict[Noun, tuple[str, ...]] = {  # arguments with the ids of a noun, in a call or in an entity of a bulk call
    "dag": ("dag_id", "dag_ids"),
    "pool": ("pool_name",),
    "variable": ("variable_key",),
    "connection": ("connection_id",),
}


@dataclass(frozen=True)
class Effect:
    """One effect of a call."""

    tool: Tool  # the tool that does only this, by which rules name the effect
    target_ids: TargetIds
    kinds: frozenset[Kind] = frozenset()
    arguments: Json = field(default_factory=dict[str, Any], compare=False)  # as in a call of that tool

    @property
    def changes(self) -> bool:
        """Whether it changes Airflow, rather than reads."""
        return self.tool.entry.access != "read"


def find_target_ids(tool: Tool, arguments: Json) -> TargetIds:
    """Return what the parsed call touches of each noun in its entry's scope."""
    target_ids: TargetIds = {}
    for noun in NOUNS:
        scope = getattr(tool.entry.scope, noun)
        if scope is None:
            continue
        ids = _read_ids(tool, noun, arguments) if scope != "every_row" else None
        target_ids[noun] = ids or None
    return target_ids


def _read_ids(tool: Tool, noun: Noun, arguments: Json) -> frozenset[str] | None:
    """Return the ids of a noun that a call names; None where it may touch others."""
    single_ids, listed_ids = set[str](), set[str]()
    for name in ARGUMENTS[noun]:
        value = arguments.get(name)
        if isinstance(value, list):
            listed_ids |= {str(item) for item in value}
        elif value is not None:
            single_ids.add(str(value))
    if tool.entry.instead and listed_ids:  # "~" and a list of ids: those of the list
        single_ids.discard("~")
    ids = single_ids | listed_ids
    return None if "~" in ids else frozenset(ids)


def derive_effects(tool: Tool, arguments: Json) -> tuple[Effect, ...]:
    """Return the effects of a call; of a read, the read alone.

    Arguments of any kind give some effect, in doubt the wider one: where they do not say which of its effects a tool
    would have, it could have each of them on everything.
    """
    entry = tool.entry
    if not entry.effects:
        return (Effect(tool, find_target_ids(tool, arguments), arguments=arguments),)
    known_arguments = {name: gated.value for name, gated in entry.default.both.items()} | arguments
    by_name = {effect_tool.name: effect_tool for effect_tool in tool.effects}
    uses = [use for use in entry.effects if use.when is None or use.when.holds(known_arguments)]
    effects = [effect for use in uses for effect in _derive_each(tool, by_name[use.name], use, known_arguments)]
    return tuple(effects) or tuple(_build_unbounded(effect_tool) for effect_tool in tool.effects)


def _derive_each(tool: Tool, operation: Tool, use: EffectUse, arguments: Json) -> list[Effect]:
    """Return the effects of one use in an entry: on the call's own ids, or on those of each item of a list."""
    if all(use.each != parameter.name for parameter in tool.entry.params):
        kinds = operation.entry.list_kinds(arguments)
        return [Effect(operation, find_target_ids(operation, arguments), kinds, arguments)]
    items = arguments.get(use.each)
    if items is None or items == []:  # some clients send an empty list for an argument that they leave out
        return []
    if not isinstance(items, list):
        return [_build_unbounded(operation)]
    list_names = {other_use.each for other_use in tool.entry.effects}
    outer_arguments = {name: value for name, value in arguments.items() if name not in list_names}
    entity_fields = {other_use.field for other_use in tool.entry.effects if other_use.each == use.each}
    bulk = tool.entry.bulk
    text_key = [*bulk.ids][-1] if bulk else use.each.removesuffix("s")  # the field that an item without fields gives
    effects: list[Effect] = []
    for item in items:  # pyright: ignore[reportUnknownVariableType]
        entity: Json = item if isinstance(item, dict) else {text_key: str(item)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if not use.field or use.field in entity or not entity_fields & entity.keys():
            target_ids: TargetIds = {
                noun: _read_entity_ids(noun, outer_arguments, entity) for noun in find_target_ids(operation, {})
            }
            item_arguments = _rename_fields(operation, outer_arguments | entity, bulk.ids if bulk else {})
            effects.append(Effect(operation, target_ids, operation.entry.list_kinds(item_arguments), item_arguments))
    return effects


def _read_entity_ids(noun: Noun, arguments: Json, entity: Json) -> frozenset[str] | None:
    """Return the ids of a noun that an entity and the call around it name; "~" there leaves it to the entity."""
    entity_id = next((str(entity[name]) for name in ARGUMENTS[noun] if entity.get(name)), "")
    call_ids = {str(arguments[name]) for name in ARGUMENTS[noun] if arguments.get(name) is not None}
    ids = (call_ids - {"~"} if entity_id else call_ids) | ({entity_id} if entity_id else set())
    return None if "~" in ids or not ids else frozenset(ids)


def _rename_fields(operation: Tool, fields: Json, ids: dict[str, str]) -> Json:
    """Return an entity's fields under the names that the operation has for them."""
    names = {use.name for use in operation.entry.params}
    return {
        ids[name] if ids.get(name, name) in names and name in ids else name: value for name, value in fields.items()
    }


def _build_unbounded(operation: Tool) -> Effect:
    return Effect(operation, dict.fromkeys(find_target_ids(operation, {}), None), operation.entry.possible_kinds)


def extend_to_dags(effects: tuple[Effect, ...], dag_ids: Iterable[str]) -> tuple[Effect, ...]:
    """Return the effects with the DAGs that a dry run found, since dependent tasks may be in other DAGs."""
    dags = frozenset(dag_ids)
    if not dags:
        return effects
    first = effects[0]
    if len(effects) == 1:
        return (
            replace(
                first,
                target_ids=first.target_ids | {"dag": dags | (first.target_ids.get("dag") or frozenset())},
            ),
        )
    effect_dags = frozenset[str]().union(*(effect.target_ids.get("dag") or () for effect in effects))
    return (
        *effects,
        *(replace(first, target_ids={"dag": frozenset({dag_id})}) for dag_id in sorted(dags - effect_dags)),
    )


def list_target_names(effects: Iterable[Effect]) -> tuple[str, ...]:
    """Return what a call names, as "dag etl"; "dag ~" where it names none and so could mean any."""
    target_ids = [(noun, ids) for effect in effects for noun, ids in effect.target_ids.items()]
    targets = {(noun, target_id) for noun, ids in target_ids for target_id in ids or ("~",)}
    return tuple(f"{noun} {target_id}" for noun, target_id in sorted(targets))


def list_effect_names(effects: Iterable[Effect]) -> tuple[str, ...]:
    """Return the names of the effects that change something, each once."""
    return tuple(dict.fromkeys(effect.tool.name for effect in effects if effect.changes))


def choose_strictest_class(effects: Iterable[Effect]) -> Access:
    """Return the strictest class of these effects."""
    classes: list[Access] = [effect.tool.entry.access for effect in effects]
    return max(classes, key=CLASSES.index)
