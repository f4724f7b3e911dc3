"""What each tool does to Airflow, as a reader of docs/permissions.md and of Airflow's API would say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mcp.catalog.loader import Tool, load_catalog

Json = dict[str, Any]
Ids = dict[str, set[str] | None]  # of each noun, what is touched; None is everything
CATALOG = load_catalog()
LISTS = ("create", "update", "delete")
# Ways to what other tools do: for each list of a call, or for the whole of it (""), which tools those are.
VEHICLES: dict[str, dict[str, tuple[str, ...]]] = {
    **{f"bulk_{noun}s": {word: (f"{word}_{noun}",) for word in LISTS} for noun in ("pool", "variable", "connection")},
    "bulk_dag_runs": {"update": ("set_dag_run_state", "set_dag_run_note"), "delete": ("delete_dag_run",)},
    "bulk_task_instances": {
        "update": ("set_task_instance_state", "set_task_instance_note"),
        "delete": ("delete_task_instance",),
    },
    "pause_dags": {"": ("pause_dag",)},
    "unpause_dags": {"": ("unpause_dag",)},
    "trigger_and_wait": {"": ("trigger_dag_run",)},
    "plan_recovery": {"dag_ids": ("clear_task_instances", "create_backfill")},
}
_CONFIG = {f"{word}_{noun}" for word in LISTS for noun in ("pool", "variable", "connection")}
_CLEARS = {"clear_task_instances", "clear_dag_run", "clear_dag_runs", "clear_dag_run_partitions"}
KINDS: dict[str, set[str]] = {
    "delete": {name for name in CATALOG.tools if name.startswith("delete_")}
    | {"clear_asset_states", "clear_task_states", "delete_variable"},
    "starts_runs": _CLEARS
    | {"trigger_dag_run", "materialize_asset", "create_asset_event", "create_backfill", "unpause_backfill"}
    | {"unpause_dag", "answer_hitl_detail"},
    "state": {"set_dag_run_state", "set_task_instance_state", "set_task_group_state", "cancel_backfill", "clear_many"},
    "config": _CONFIG | {"create_default_connections"},
    "access": {f"{word}_{noun}" for word in LISTS for noun in ("user", "role")},
}
_PLACES = {
    "dag": ("dag_id", "dag_ids"),
    "pool": ("pool_name",),
    "variable": ("variable_key",),
    "connection": ("connection_id",),
}


@dataclass
class Part:
    """One thing that a call does: which tool does only that, what it touches, and what kinds of effect it is."""

    tool: Tool
    ids: Ids
    kinds: set[str]


def kinds_of(name: str, arguments: Json) -> set[str]:
    """What kinds of effect a tool alone has with these arguments."""
    kinds = {kind for kind, names in KINDS.items() if name in names}
    kinds |= {"delete"} if name == "edit_admins" else set()
    queues = name == "set_dag_run_state" and arguments.get("state") == "queued"
    return kinds | ({"starts_runs"} if queues else set())


def parts_of(tool: Tool, arguments: Json) -> list[Part]:
    """Everything that a call does, one by one; of a read, the read."""
    if tool.name in VEHICLES:
        return _parts_of_vehicle(tool, arguments)
    parts = [_alone(tool, arguments)]
    if tool.name == "enqueue_connection_test" and arguments.get("commit_on_success"):
        parts += [_alone(CATALOG.tools[f"{word}_connection"], arguments) for word in ("create", "update")]
    return parts


def _parts_of_vehicle(tool: Tool, arguments: Json) -> list[Part]:
    parts: list[Part] = []
    for word, names in VEHICLES[tool.name].items():
        if not word:
            parts += [_alone(CATALOG.tools[name], arguments) for name in names]
            continue
        if not arguments.get(word):
            continue
        names = _meant(tool, word, names, arguments)
        for one in arguments[word]:
            parts += [_of_entity(name, arguments, one) for name in names if _is_meant(name, one, names)]
    every = [name for names in VEHICLES[tool.name].values() for name in names]
    return parts or [_anything(name) for name in every]


def _meant(tool: Tool, word: str, names: tuple[str, ...], arguments: Json) -> tuple[str, ...]:
    if tool.name == "plan_recovery":
        return names[1:] if arguments.get("mode") == "backfill" else names[:1]
    if word == "create" and arguments.get("on_existing") == "overwrite":
        return (*names, names[0].replace("create", "update"))
    return names


def _is_meant(name: str, entity: Any, names: tuple[str, ...]) -> bool:
    """Whether an entity has what a tool sets; one that has nothing of all that might have any."""
    fields = {"set_dag_run_state": "state", "set_task_instance_state": "new_state"}
    fields |= {"set_dag_run_note": "note", "set_task_instance_note": "note"}
    wanted = {fields[one] for one in names if one in fields}
    return name not in fields or fields[name] in entity or not wanted & set(entity)


def _of_entity(name: str, arguments: Json, entity: Any) -> Part:
    """What is done to one entity: it says whose it is, or else the call around it does, or both."""
    operation = CATALOG.tools[name]
    noun = next(noun for noun in _PLACES if getattr(operation.entry.scope, noun))
    if isinstance(entity, dict):
        own = next((str(entity[place]) for place in _PLACES[noun] if entity.get(place)), "")
    else:
        own = "" if noun == "dag" and "dag_ids" not in arguments else str(entity)
    around = str(arguments.get("dag_id", "")) if noun == "dag" else ""
    ids = {one for one in (own, around) if one} - ({"~"} if own and around == "~" and own != "~" else set())
    return Part(operation, {noun: None if "~" in ids or not ids else ids}, kinds_of(name, _fields(entity)))


def _fields(entity: Any) -> Json:
    return entity if isinstance(entity, dict) else {}


def _anything(name: str) -> Part:
    operation = CATALOG.tools[name]
    nouns = (noun for noun in _PLACES if getattr(operation.entry.scope, noun))
    return Part(operation, dict.fromkeys(nouns), kinds_of(name, {"state": "queued"}))


def _alone(tool: Tool, arguments: Json) -> Part:
    """The call of a tool that does one thing.

    "~" is everything, but as the DAG of a path beside a list that says which.
    """
    found: Ids = {}
    for noun, places in _PLACES.items():
        where = getattr(tool.entry.scope, noun)
        if where in (None, "every_row"):
            if where:
                found[noun] = None
            continue
        path = [str(arguments[name]) for name in places if isinstance(arguments.get(name), str)]
        listed = [str(one) for name in places if isinstance(arguments.get(name), list) for one in arguments[name]]
        ids = {one for one in path if not (tool.entry.instead and listed and one == "~")} | set(listed)
        found[noun] = ids if ids and "~" not in ids else None
    kinds = kinds_of(tool.name, arguments) if tool.entry.access != "read" else set[str]()
    return Part(tool, found, kinds)
