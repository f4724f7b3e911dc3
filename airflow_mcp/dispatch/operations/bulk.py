"""Many objects in one request: create, update and delete as Airflow's actions, what they touch, what came of them."""

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

_ERROR_SIZE = 600  # characters of what Airflow says of one object
WORDS = ("create", "update", "delete")
_MASKED_SINCE = Version(3, 2)  # before, an update of many has no mask
_RESULT = Record(keep=("created", "updated", "deleted", "errors", "hint"), ids=("created", "updated", "deleted"))


async def build_body(tool: Tool, arguments: Json, catalog: Catalog, version: Version, send: Send) -> tuple[Json, Json]:
    """The ids of the path, and the body: one action for what is created, what is deleted, and each set of fields.

    An update names the fields it writes, so that nothing else of an object changes. Raises NotFoundError for an object
    to update that is not there.
    """
    bulk = tool.entry.bulk
    assert bulk is not None
    _require_changes(tool, arguments, bulk)
    actions: list[Json] = []
    for word in WORDS:
        entities = [_write_entity(_complete_entity(one, bulk), catalog, version) for one in arguments.get(word) or ()]
        choice = "action_on_existence" if word == "create" else "action_on_non_existence"
        chosen = arguments.get("on_existing" if word == "create" else "on_missing", "fail")
        for fields, some in _group_by_fields(entities, bulk if word == "update" else None).items():
            mask: Json = {}
            if word == "update":
                mask = {"update_mask": list(fields)} if version >= _MASKED_SINCE else {}
                some = await _fill_entities(some, bulk, catalog, send, skip=chosen == "skip")
            named = [_rename_fields(one, bulk) for one in some]
            actions.append({"action": word, "entities": named, choice: chosen} | mask)
    ids = {name: value for name, value in arguments.items() if name not in (*WORDS, "on_existing", "on_missing")}
    return ids, {"actions": actions}


def _complete_entity(entity: Any, bulk: Bulk) -> Any:
    if not bulk.default:
        return entity
    return bulk.default | (entity if isinstance(entity, dict) else {[*bulk.ids][-1]: entity})


def _rename_fields(entity: Any, bulk: Bulk) -> Any:
    return {bulk.alias.get(name, name): value for name, value in entity.items()} if isinstance(entity, dict) else entity


async def _fill_entities(entities: list[Json], bulk: Bulk, catalog: Catalog, send: Send, *, skip: bool) -> list[Json]:
    """Each with what Airflow wants in it beside what is to be written; what is not there is left out, or an error."""

    async def fill(one: Json) -> Json | None:
        lacking = [field for field in bulk.fill if field not in one]
        if not lacking:
            return one
        try:
            held = await send(catalog.operations[bulk.read], {theirs: one[ours] for ours, theirs in bulk.ids.items()})
        except NotFoundError:
            if skip:
                return None
            raise
        return one | {field: held.get(field) for field in lacking}

    return [one for one in await run_concurrently(fill(one) for one in entities) if one is not None]


def _write_entity(entity: Any, catalog: Catalog, version: Version) -> Any:
    if not isinstance(entity, dict):
        return entity
    return {
        name: wire.write_value(value, catalog.parameters.get(name, Parameter()), version.generation, in_body=True)
        for name, value in entity.items()
    }


def _group_by_fields(entities: list[Any], bulk: Bulk | None) -> dict[tuple[str, ...], list[Any]]:
    """Entities by the fields that they change; all together where that does not matter."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    for one in entities:
        fields = tuple(name for name in one if name not in bulk.ids) if bulk else ()
        groups.setdefault(fields, []).append(one)
    return groups


def read_outcome(tool: Tool, raw: Any) -> OperationResult:
    """What was done, and the errors of what was not.

    Raises AirflowError where nothing was done, UnusableAnswerError for an answer that says neither.

    Airflow answers 200 whatever became of the actions.
    """
    if not isinstance(raw, dict) or not raw.keys() & {*WORDS}:
        raise UnusableAnswerError(f"Airflow answered {tool.name} without its actions.", 200)
    done: Json = {}
    errors: list[str] = []
    for word in WORDS:
        part = raw.get(word) or {}
        if part.get("success"):
            done[f"{word}d"] = part["success"]
        for one in part.get("errors") or ():
            said = " ".join(excerpt_text(str(one.get("error")), _ERROR_SIZE).split())
            code = one.get("status_code")
            errors.append(f"{word}: {said} ({code})" if code else f"{word}: {said}")
    if errors and not done:
        raise AirflowError(f"{tool.name}: nothing was done. {' '.join(errors)}", 200)
    if errors:
        done |= {"errors": errors, "hint": "What is listed as an error was not done; the rest was."}
    return build_result(done)


def build_result(done: Json) -> OperationResult:
    """What is answered about entities, by what became of them."""
    return OperationResult(None, 0, done or {"hint": "Nothing was there to do."}, _RESULT)


def iterate_entities(bulk: Bulk, arguments: Json) -> Iterator[tuple[str, Json, Json]]:
    """Each entity with what is done to it and the arguments that read it."""
    for word in WORDS:
        for one in arguments.get(word) or ():
            parts = {theirs: _read_id(one, ours, arguments, bulk) for ours, theirs in bulk.ids.items()}
            ids = {name: id_ for name, id_ in parts.items() if id_ is not None}
            yield word, one if isinstance(one, dict) else {}, ids


async def find_targets(executor: OperationExecutor, call: Call) -> tuple[tuple[str, ...], int, list[Json]]:
    """Every target by what would be done to it, their number with all that goes along, and what Airflow now holds."""
    tool, arguments, bulk = call.tool, call.arguments, call.tool.entry.bulk
    assert bulk is not None
    source = executor.catalog.operations[bulk.read]
    asked = [(word, ids) for word, _, ids in iterate_entities(bulk, arguments)]
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

    found = await run_concurrently(read(word, ids) for word, ids in asked)
    beside = await run_concurrently(count_related(ids, held) for (_, ids), held in zip(asked, found, strict=True))
    names: list[str] = []
    for (word, ids), held, number in zip(asked, found, beside, strict=True):
        absent = " (not there)" if word != "create" and held is None else ""
        word = "overwrite" if word == "create" and held else word
        more = f" (with {number} {executor.catalog.operations[bulk.along].entry.rows})" if bulk.along and number else ""
        names.append(f"{word} {'/'.join(str(value) for value in ids.values())}{absent}{more}")
    columns = executor.catalog.records[source.entry.record or ""].columns
    seen = [held for (_, ids), held in zip(asked, found, strict=True) if held and may_see(ids)]
    now = [{key: held.get(key) for key in columns if held.get(key) is not None} for held in seen]
    return tuple(sorted(names)), len(names) + sum(beside), now


def _require_changes(tool: Tool, arguments: Json, bulk: Bulk) -> None:
    """Airflow reports an update of nothing as done. Raises InvalidArgumentsError."""
    if any(not one.keys() - bulk.ids.keys() for one in arguments.get("update") or ()):
        raise InvalidArgumentsError(f"{tool.name}: each of update must name what to change beside its ids.")


def _read_id(entity: Any, name: str, arguments: Json, bulk: Bulk) -> Any:
    """One id of an entity: its own, or that of the path; a text is the id that names it."""
    if isinstance(entity, dict) and entity.get(name) is not None:
        return entity[name]
    if not isinstance(entity, dict) and name == [*bulk.ids][-1]:
        return entity
    return arguments.get(name)
