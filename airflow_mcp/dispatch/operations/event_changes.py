"""Pure: what a row of Airflow's audit log says was changed, in a few words.

Airflow writes the request's own words into `extra`: fields of its query, path and body as JSON (api_fastapi/logging/
decorators.py in 3.x, www/decorators.py in 2.x), a command line for events of its CLI, pairs of Python for a DAG that
the scheduler pauses, and a sentence for what the scheduler does to a task. It never writes what was there before: that
is taken from an earlier row where one shows it.
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
_FLAGS = ("include_", "only_", "reset_", "run_on_", "dry_run", "prevent_")  # options that say nothing where false
_NAMES = ("pool_name", "variable_key", "connection_id", "name", "key", "dag_run_id", "task_id")  # of what is no DAG's
_STARTS = "cli_task_run"  # of 2.x: a task begins, with the command of whatever process began it
_LITERAL = 4_000  # characters of Python's notation that are read


def describe_changes(rows: list[Json], *, is_gapless: bool) -> list[str | None]:
    """Say for each row of the audit log what was changed; None where its `extra` says nothing.

    `is_gapless` is whether no event about the same objects may be missing between the rows: then the value that an
    earlier row set is the one before.
    """
    fields = [_fields(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda at: str(rows[at].get("when")), reverse=True)
    changes: list[str | None] = [None] * len(rows)
    for position, at in enumerate(order):
        earlier = [(rows[before], fields[before]) for before in order[position + 1 :]] if is_gapless else []
        changes[at] = _describe(rows[at], fields[at], earlier)
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
    """What `extra` holds by name, masked by those names; the text itself where it holds no fields."""
    extra = row.get("extra")
    text = extra if isinstance(extra, str) else "" if extra is None else dumps(extra)
    fields = _object(text)
    if fields is None:
        fields = _literal(text, _pairs)
    return text if fields is None else cast("Json", redact(fields))


def _object(text: str) -> Json | None:
    """The fields of a JSON object, of one that was cut those before the cut; None for what is none."""
    if not text.startswith("{"):
        return None
    decoder, fields, at = json.JSONDecoder(), cast("Json", {}), 1
    try:
        while text[at : at + 1] not in ("}", ""):
            name, at = decoder.raw_decode(text, at)
            fields[str(name)], at = decoder.raw_decode(text, _past(text, _past(text, at) + 1))
            at = _past(text, at)
            at = _past(text, at + 1) if text[at : at + 1] == "," else at
    except (ValueError, RecursionError):
        return fields or None
    return fields


def _past(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _literal(text: str, read: Callable[[Any], Any]) -> Any:
    """A value in Python's notation as `read` takes it; None for what is none."""
    if not text.startswith("[") or len(text) > _LITERAL:
        return None
    try:
        return read(ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _pairs(value: Any) -> Json:
    return {str(name): item for name, item in value}


def _words(value: Any) -> str:
    """A command line of Airflow's, wherever its program lies."""
    _, *rest = map(str, value)
    return " ".join(["airflow", *rest])


def _changed(row: Json, fields: Json) -> Json:
    """The fields that say what was asked for: no ids of the row, no options left off, and of a patch what it writes."""
    if command := fields.get("full_command"):
        if row.get("event") == _STARTS:
            return {}
        return {"command": _literal(str(command), _words) or command}
    mask = fields.get("update_mask")
    written = {*map(str, mask if isinstance(mask, list) else str(mask or "").split(","))} & fields.keys()
    changed: Json = {}
    for name, value in fields.items():
        is_off = value is False and name.startswith(_FLAGS)
        is_empty = value in (None, "", [], {}) and not (_sets(row) and name in (written or fields))
        unwritten = written and name not in written and name not in _NAMES
        is_repeated = name in _NAMES and value in [changed.get(other) for other in _NAMES]
        if name not in _FRAME and not (is_off or is_empty or unwritten or is_repeated):
            changed[name] = value
    if _sets(row):
        return {name: value for name, value in changed.items() if value is not None or name in written}
    return changed


def _sets(row: Json) -> bool:
    """Whether the event writes fields of something that exists."""
    event = str(row.get("event"))
    return not event.startswith("cli_") and any(word in event for word in ("patch", "pause", "edit", "update"))


def _before(row: Json, fields: Json, name: str, earlier: list[tuple[Json, Json | str]]) -> Any:
    """What an earlier row set this field to; None where none shows it, or another event may have changed it since."""
    if name in _NAMES or "state" in name or MASK in str(fields.get(name)):
        return None
    for other, held in earlier:
        if other.get("dag_run_id") != row.get("dag_run_id") or other.get("task_id") != row.get("task_id"):
            continue  # about a run or a task, where this is about a DAG
        if "trigger" in str(other.get("event")):
            continue
        if _name_object(other, held) == _name_object(row, fields) and isinstance(held, dict) and name in held:
            return None if MASK in str(held[name]) else held[name]
        if other.get("dag_id") in (None, row.get("dag_id")):
            return None
    return None


def _name_object(row: Json, fields: Json | str) -> tuple[Any, ...]:
    """What an event is about; a list is about many, and equal to nothing."""
    named = next((fields[name] for name in _NAMES if name in fields), None) if isinstance(fields, dict) else None
    ids = tuple(row.get(name) for name in ("dag_id", "dag_run_id", "task_id", "map_index"))
    return (*ids, named) if any((*ids, named)) else (object(),)


def _actions(fields: Json) -> Iterator[str]:
    """A bulk request's actions: "update small, delete a, b"."""
    actions = fields.get("actions")
    for action in cast("list[Any]", actions) if isinstance(actions, list) else []:
        if isinstance(action, dict):
            entities = cast("list[Any]", action.get("entities") or [])
            yield f"{action.get('action')} {', '.join(map(_entity, entities))}"


def _entity(entity: Any) -> str:
    if not isinstance(entity, dict):
        return _text(entity)
    named = [name for name in _NAMES if name in entity]
    rest = {name: value for name, value in entity.items() if name not in named and name not in _IDS}
    words = ", ".join(f"{name}: {_text(value)}" for name, value in rest.items() if value is not None)
    return "/".join(_text(entity[name]) for name in named) + (f" ({words})" if words else "")


def _text(value: Any) -> str:
    """A value in a sentence: a text as it is, names in a row, and anything else as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    return shorten(value if isinstance(value, str) else dumps(value), _VALUE)
