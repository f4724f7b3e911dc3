"""Summarise the change that a row of Airflow's audit log reports. Pure: no requests.

Airflow writes the request into `extra`: fields of its query, path and body as JSON (api_fastapi/logging/decorators.py
in 3.x, www/decorators.py in 2.x), a command line for events of its CLI, pairs in Python notation for a DAG that the
scheduler pauses, and a sentence for what the scheduler does to a task. It never writes the previous value: that is
taken from an earlier row where there is one.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from typing import Any, cast

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.normalize import dumps
from airflow_mcp.redact import MASK, redact
from airflow_mcp.text import shorten

_SIZE, _VALUE = 200, 60  # characters of a change, and of one value in it
_IDS = ("dag_id", "dag_run_id", "run_id", "task_id", "map_index", "logical_date", "execution_date")
_FRAME = frozenset({
    *_IDS, "method", "host_name", "update_mask", "actions", "csrf_token", "origin", "confirmed", "redirect_url",
})  # fmt: skip
_FLAGS = ("include_", "only_", "reset_", "run_on_", "dry_run", "prevent_")  # options that matter only when true
# Fields that name an object other than a DAG.
_NAMES = ("pool_name", "variable_key", "connection_id", "name", "key", "dag_run_id", "task_id")
_STARTS = "cli_task_run"  # in 2.x, the start of a task, with the command of its parent process
_LITERAL = 4_000  # characters of Python notation that are parsed


def describe_changes(rows: list[Json], *, is_gapless: bool) -> list[str | None]:
    """Return the change that each row of the audit log reports; None where its `extra` has none.

    `is_gapless` tells that no event about the same objects is missing between the rows: the value that an earlier row
    set is then the previous value.
    """
    fields = [_fields(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda at: str(rows[at].get("when")), reverse=True)
    changes: list[str | None] = [None] * len(rows)
    for position, index in enumerate(order):
        earlier = [(rows[prior], fields[prior]) for prior in order[position + 1 :]] if is_gapless else []
        changes[index] = _describe(rows[index], fields[index], earlier)
    return changes


def _describe(row: Json, fields: Json | str, earlier: list[tuple[Json, Json | str]]) -> str | None:
    if isinstance(fields, str):
        return shorten(" ".join(fields.split()), _SIZE) or None
    parts = [*_actions(fields)]
    for name, value in _changed(row, fields).items():
        before = _before(row, fields, name, earlier) if _sets(row) else None
        parts.append(f"{name}: {f'{_text(before)} -> ' if before is not None else ''}{_text(value)}")
    return shorten(", ".join(parts), _SIZE) or None


def _fields(row: Json) -> Json | str:
    """Return the fields of `extra`, masked according to their names; the text itself where it holds no fields."""
    extra = row.get("extra")
    text = extra if isinstance(extra, str) else "" if extra is None else dumps(extra)
    fields = _object(text)
    if fields is None:
        fields = _literal(text, _pairs)
    return text if fields is None else cast("Json", redact(fields))


def _object(text: str) -> Json | None:
    """Parse the fields of a JSON object, of a truncated one those before the cut; None for any other text."""
    if not text.startswith("{"):
        return None
    decoder, fields, position = json.JSONDecoder(), cast("Json", {}), 1
    try:
        while text[position : position + 1] not in ("}", ""):
            name, position = decoder.raw_decode(text, position)
            fields[str(name)], position = decoder.raw_decode(text, _past(text, _past(text, position) + 1))
            position = _past(text, position)
            position = _past(text, position + 1) if text[position : position + 1] == "," else position
    except (ValueError, RecursionError):
        return fields or None
    return fields


def _past(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _literal(text: str, read: Callable[[Any], Any]) -> Any:
    """Parse a list in Python notation and convert it with `read`; None for any other text."""
    if not text.startswith("[") or len(text) > _LITERAL:
        return None
    try:
        return read(ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _pairs(value: Any) -> Json:
    return {str(name): item for name, item in value}


def _words(value: Any) -> str:
    """Return a command line of Airflow's CLI without the path of its program."""
    _, *rest = map(str, value)
    return " ".join(["airflow", *rest])


def _changed(row: Json, fields: Json) -> Json:
    """Return the fields that state the change: no ids of the row, no unset options, and of a patch those it writes."""
    if command := fields.get("full_command"):
        if row.get("event") == _STARTS:
            return {}
        return {"command": _literal(str(command), _words) or command}
    mask = fields.get("update_mask")
    written_names = {*map(str, mask if isinstance(mask, list) else str(mask or "").split(","))} & fields.keys()
    changed_fields: Json = {}
    for name, value in fields.items():
        is_off = value is False and name.startswith(_FLAGS)
        is_empty = value in (None, "", [], {}) and not (_sets(row) and name in (written_names or fields))
        unwritten = written_names and name not in written_names and name not in _NAMES
        is_repeated = name in _NAMES and value in [changed_fields.get(key) for key in _NAMES]
        if name not in _FRAME and not (is_off or is_empty or unwritten or is_repeated):
            changed_fields[name] = value
    if _sets(row):
        return {name: value for name, value in changed_fields.items() if value is not None or name in written_names}
    return changed_fields


def _sets(row: Json) -> bool:
    """Tell whether the event writes fields of an existing object."""
    event = str(row.get("event"))
    return not event.startswith("cli_") and any(word in event for word in ("patch", "pause", "edit", "update"))


def _before(row: Json, fields: Json, name: str, earlier: list[tuple[Json, Json | str]]) -> Any:
    """Return the value that an earlier row set; None without one, or where an event may have changed it since."""
    if name in _NAMES or "state" in name or MASK in str(fields.get(name)):
        return None
    for event, values in earlier:
        if event.get("dag_run_id") != row.get("dag_run_id") or event.get("task_id") != row.get("task_id"):
            continue  # about a run or a task, while this row is about a DAG
        if "trigger" in str(event.get("event")):
            continue
        if _name_object(event, values) == _name_object(row, fields) and isinstance(values, dict) and name in values:
            return None if MASK in str(values[name]) else values[name]
        if event.get("dag_id") in (None, row.get("dag_id")):
            return None
    return None


def _name_object(row: Json, fields: Json | str) -> tuple[Any, ...]:
    """Return the identity of the object of an event; a list has none, and gets an identity that equals no other."""
    object_name = next((fields[name] for name in _NAMES if name in fields), None) if isinstance(fields, dict) else None
    ids = tuple(row.get(name) for name in ("dag_id", "dag_run_id", "task_id", "map_index"))
    return (*ids, object_name) if any((*ids, object_name)) else (object(),)


def _actions(fields: Json) -> Iterator[str]:
    """Yield the actions of a bulk request as texts, such as "update small" and "delete a, b"."""
    actions = fields.get("actions")
    for action in cast("list[Any]", actions) if isinstance(actions, list) else []:
        if isinstance(action, dict):
            entities = cast("list[Any]", action.get("entities") or [])
            yield f"{action.get('action')} {', '.join(map(_entity, entities))}"


def _entity(entity: Any) -> str:
    if not isinstance(entity, dict):
        return _text(entity)
    id_names = [name for name in _NAMES if name in entity]
    values = {name: value for name, value in entity.items() if name not in id_names and name not in _IDS}
    words = ", ".join(f"{name}: {_text(value)}" for name, value in values.items() if value is not None)
    return "/".join(_text(entity[name]) for name in id_names) + (f" ({words})" if words else "")


def _text(value: Any) -> str:
    """Return a value for a sentence: strings as they are, lists of strings with commas, and other values as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    return shorten(value if isinstance(value, str) else dumps(value), _VALUE)
