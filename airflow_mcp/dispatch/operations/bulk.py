"""Bulk changes: build Airflow's create, update and delete actions, find their targets, and read their outcome."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_mcp.airflow import wire
from airflow_mcp.catalog.grammar import Bulk, Json, Parameter, Record
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.gather import run_concurrently
from airflow_mcp.dispatch.operations.prepare import Send
from airflow_mcp.dispatch.operations.result import OperationResult
from airflow_mcp.errors import AirflowError, InvalidArgumentsError, NotFoundError, UnusableAnswerError
from airflow_mcp.policy.decision import ParentCall, decide
from airflow_mcp.policy.effects import Effect, derive_effects, find_target_ids
from airflow_mcp.value_excerpt import excerpt_text

if TYPE_CHECKING:
    from airflow_mcp.dispatch.call import Call
    from airflow_mcp.dispatch.operations.executor import OperationExecutor

_ERROR_SIZE = 600  # characters of Airflow's error about one object
WORDS = ("create", "update", "delete")
_MASKED_SINCE = Version(3, 2)  # earlier versions accept no update_mask in a bulk update
_RESULT = Record(keep=("created", "updated", "deleted", "errors", "hint"), ids=("created", "updated", "deleted"))


async def build_body(tool: Tool, arguments: Json, catalog: Catalog, version: Version, send: Send) -> tuple[Json, Json]:
    """Return the ids of the path, and the body: one action to create, one to delete, and one for each set of fields.

    An update lists the fields it writes, so that no other field of an object changes. Raises NotFoundError when an
    object to update does not exist.
    """
    bulk = tool.entry.bulk
    assert bulk is not None
    _require_changes(tool, arguments, bulk)
    actions: list[Json] = []
    for word in WORDS:
        entities = [_write_entity(_complete_entity(item, bulk), catalog, version) for item in arguments.get(word) or ()]
        choice = "action_on_existence" if word == "create" else "action_on_non_existence"
        chosen = arguments.get("on_existing" if word == "create" else "on_missing", "fail")
        for fields, group in _group_by_fields(entities, bulk if word == "update" else None).items():
            mask: Json = {}
            if word == "update":
                mask = {"update_mask": list(fields)} if version >= _MASKED_SINCE else {}
                group = await _fill_entities(group, bulk, catalog, send, skip=chosen == "skip")
            renamed = [_rename_fields(item, bulk) for item in group]
            actions.append({"action": word, "entities": renamed, choice: chosen} | mask)
    ids = {name: value for name, value in arguments.items() if name not in (*WORDS, "on_existing", "on_missing")}
    return ids, {"actions": actions}


def _complete_entity(entity: Any, bulk: Bulk) -> Any:
    if not bulk.default:
        return entity
    return bulk.default | (entity if isinstance(entity, dict) else {[*bulk.ids][-1]: entity})


def _rename_fields(entity: Any, bulk: Bulk) -> Any:
    return {bulk.alias.get(name, name): value for name, value in entity.items()} if isinstance(entity, dict) else entity


async def _fill_entities(entities: list[Json], bulk: Bulk, catalog: Catalog, send: Send, *, skip: bool) -> list[Json]:
    """Add to each entity the stored fields that Airflow requires.

    With `skip`, entities that do not exist are left out. Raises NotFoundError for them without it.
    """

    async def fill(one: Json) -> Json | None:
        missing_fields = [field for field in bulk.fill if field not in one]
        if not missing_fields:
            return one
        try:
            stored = await send(catalog.operations[bulk.read], {theirs: one[ours] for ours, theirs in bulk.ids.items()})
        except NotFoundError:
            if skip:
                return None
            raise
        return one | {field: stored.get(field) for field in missing_fields}

    return [one for one in await run_concurrently(fill(one) for one in entities) if one is not None]


def _write_entity(entity: Any, catalog: Catalog, version: Version) -> Any:
    if not isinstance(entity, dict):
        return entity
    return {
        name: wire.write_value(value, catalog.parameters.get(name, Parameter()), version.generation, in_body=True)
        for name, value in entity.items()
    }


def _group_by_fields(entities: list[Any], bulk: Bulk | None) -> dict[tuple[str, ...], list[Any]]:
    """Group entities by the fields that they change; without `bulk`, put all of them into one group."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    for entity in entities:
        fields = tuple(name for name in entity if name not in bulk.ids) if bulk else ()
        groups.setdefault(fields, []).append(entity)
    return groups


def read_outcome(tool: Tool, raw: Any) -> OperationResult:
    """Return the objects that were changed, and the errors of those that were not.

    Airflow answers 200 whether or not the actions succeeded. Raises AirflowError when nothing was done, and
    UnusableAnswerError when the answer reports no actions.
    """
    if not isinstance(raw, dict) or not raw.keys() & {*WORDS}:
        raise UnusableAnswerError(f"Airflow answered {tool.name} without its actions.", 200)
    outcome: Json = {}
    errors: list[str] = []
    for word in WORDS:
        part = raw.get(word) or {}
        if part.get("success"):
            outcome[f"{word}d"] = part["success"]
        for error in part.get("errors") or ():
            message = " ".join(excerpt_text(str(error.get("error")), _ERROR_SIZE).split())
            code = error.get("status_code")
            errors.append(f"{word}: {message} ({code})" if code else f"{word}: {message}")
    if errors and not outcome:
        raise AirflowError(f"{tool.name}: nothing was done. {' '.join(errors)}", 200)
    if errors:
        outcome |= {"errors": errors, "hint": "What is listed as an error was not done; the rest was."}
    return build_result(outcome)


def build_result(done: Json) -> OperationResult:
    """Return the result for ids grouped by outcome (created, updated, deleted, errors)."""
    return OperationResult(None, 0, done or {"hint": "Nothing was there to do."}, _RESULT)


def iterate_entities(bulk: Bulk, arguments: Json) -> Iterator[tuple[str, Json, Json]]:
    """Yield for each entity the action, its fields, and the arguments that read it."""
    for word in WORDS:
        for entity in arguments.get(word) or ():
            parts = {theirs: _read_id(entity, ours, arguments, bulk) for ours, theirs in bulk.ids.items()}
            ids = {name: id_ for name, id_ in parts.items() if id_ is not None}
            yield word, entity if isinstance(entity, dict) else {}, ids


async def find_targets(executor: OperationExecutor, call: Call) -> tuple[tuple[str, ...], int, list[Json]]:
    """Return each target with its action, the number of targets and related objects, and the stored records."""
    tool, arguments, bulk = call.tool, call.arguments, call.tool.entry.bulk
    assert bulk is not None
    source = executor.catalog.operations[bulk.read]
    targets = [(word, ids) for word, _, ids in iterate_entities(bulk, arguments)]
    _require_changes(tool, arguments, bulk)

    overwrites = arguments.get("on_existing") == "overwrite"

    async def read(word: str, ids: Json) -> Json | None:
        if word == "create" and not overwrites:
            return None
        try:
            return (await executor.operate(call.step(source, ids))).single
        except NotFoundError:
            return None

    async def count_related(ids: Json, stored: Json | None) -> int:
        if not bulk.along or stored is None:
            return 0
        step = call.step(executor.catalog.operations[bulk.along], ids | {"limit": 1})
        return (await executor.operate(step)).total or 0

    parent = ParentCall(tool, derive_effects(tool, arguments))

    def may_see(ids: Json) -> bool:
        decision = decide(call.policy, Effect(source, find_target_ids(source, ids)), call.principal, parent)
        return decision.allowed and not decision.by_row

    records = await run_concurrently(read(word, ids) for word, ids in targets)
    counts = await run_concurrently(
        count_related(ids, record) for (_, ids), record in zip(targets, records, strict=True)
    )
    names: list[str] = []
    for (word, ids), record, number in zip(targets, records, counts, strict=True):
        absent = " (not there)" if word != "create" and record is None else ""
        word = "overwrite" if word == "create" and record else word
        note = f" (with {number} {executor.catalog.operations[bulk.along].entry.rows})" if bulk.along and number else ""
        names.append(f"{word} {'/'.join(str(value) for value in ids.values())}{absent}{note}")
    columns = executor.catalog.records[source.entry.record or ""].columns
    visible_records = [record for (_, ids), record in zip(targets, records, strict=True) if record and may_see(ids)]
    rows = [{key: record.get(key) for key in columns if record.get(key) is not None} for record in visible_records]
    return tuple(sorted(names)), len(names) + sum(counts), rows


def _require_changes(tool: Tool, arguments: Json, bulk: Bulk) -> None:
    """Raise InvalidArgumentsError when an update changes no field: Airflow would report it as done."""
    if any(not entity.keys() - bulk.ids.keys() for entity in arguments.get("update") or ()):
        raise InvalidArgumentsError(f"{tool.name}: each of update must name what to change beside its ids.")


def _read_id(entity: Any, name: str, arguments: Json, bulk: Bulk) -> Any:
    """Return one id of an entity: its own or the path's; an entity that is a plain string is itself the last id."""
    if isinstance(entity, dict) and entity.get(name) is not None:
        return entity[name]
    if not isinstance(entity, dict) and name == [*bulk.ids][-1]:
        return entity
    return arguments.get(name)
