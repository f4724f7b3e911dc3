"""Normalise Airflow's records: one name for both generations, secrets masked, invisible characters removed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.redact import MASK, mask_values, redact
from airflow_mcp.text import clean, map_strings
from airflow_mcp.time_slice import iterate_in_slices
from airflow_mcp.value_excerpt import ANY_SIZE, CharacterBudget, take_excerpt

FULL_SIZE = 100_000  # characters of a value that workflows read
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)")
_MOST_LISTS = 8  # nested lists on the path to a key
_BATCH = 500  # items measured in one step


def dumps(value: Any) -> str:
    """Return compact JSON with unescaped Unicode: the form whose characters count towards budgets."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def normalise(
    raw: Any,
    record: Record,
    generation: Generation,
    *,
    reveal: bool = False,
    only: frozenset[str] | None = None,
    size: int = FULL_SIZE,
) -> tuple[Json, Json]:
    """Return a record in the catalog's names, safe to show, and the full values of its truncated fields.

    It has every field, with None for those not in `only`, and at least `size` characters of each. `reveal` lifts the
    masking of secrets (@secret). Ids are safe to compare and to send, but not to show.
    """
    if record.scalar:
        return {record.scalar: take_excerpt(raw, CharacterBudget(ANY_SIZE))}, {}
    legacy = generation == "v1"
    fields: Json = {record.bare_v1: raw} if record.bare_v1 and legacy else dict(raw)
    for source_name, field_name in (record.rename | (record.rename_v1 if legacy else {})).items():
        if source_name in fields:
            value = fields.pop(source_name)
            fields[field_name] = value if fields.get(field_name) is None else fields[field_name]
    for field_name, path in (record.pluck | (record.pluck_v1 if legacy else {})).items():
        fields[field_name] = walk(raw, path.split(".")) if only is None or field_name in only else None
    for field_name, source_name in (record.invert_v1 if legacy else {}).items():
        fields[field_name] = not fields.pop(source_name) if fields.get(source_name) is not None else None
    for field_name, (begin, end) in record.elapsed.items():
        if fields.get(field_name) is None and (only is None or field_name in only):
            fields[field_name] = _measure_seconds(fields.get(begin), fields.get(end))
    safe_fields: Json = dict.fromkeys(map(clean, fields))
    cut_values: Json = {}
    for name in fields if only is None else only & fields.keys():
        if (value := fields[name]) is not None and not (name in record.blank and value == record.blank[name]):
            budget = CharacterBudget(ANY_SIZE if name in record.ids else size)
            part = take_excerpt(value, budget, keep_end=name in record.tail)
            safe_fields[clean(name)] = part if name in record.ids else _make_safe(name, part, fields, record, reveal)
            if budget.cut:
                cut_values[clean(name)] = value
    return safe_fields, cut_values


def _measure_seconds(begin: Any, end: Any) -> float | None:
    """Return the seconds between two ISO 8601 times; None where one is missing or is not a time."""
    try:
        return round((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds(), 3)
    except (TypeError, ValueError):
        return None


def _make_safe(name: str, value: Any, fields: Json, record: Record, reveal: bool) -> Any:
    value = map_strings(value, clean)
    if name in record.plain:
        value = _unwrap_names(value)
    if not reveal and name in record.secret_values and value not in ("", {}):
        value = mask_values(value)
    elif not reveal:
        secret_name = str(fields.get(record.named[name], name)) if name in record.named else name
        value = MASK if name in record.secret and value else redact(value, secret_name)
    return value if name in record.text else tidy(value)


def _unwrap_names(value: Any) -> Any:
    """Replace {"name": "Op"} by "Op" at any depth."""
    if isinstance(value, dict):
        return value["name"] if list(value) == ["name"] else {key: _unwrap_names(item) for key, item in value.items()}
    return [_unwrap_names(item) for item in value] if isinstance(value, list) else value


def tidy(value: Any) -> Any:
    """Drop nulls, write UTC as Z and round floats to milliseconds, in values that Airflow and not a user wrote."""
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [tidy(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 3)  # infinities are strings at this point
    if isinstance(value, str) and (moment := MOMENT.fullmatch(value)):
        return f"{moment[1]}{moment[2] or ''}Z"
    return value


def walk(value: Any, path: list[str], depth: int = 0) -> Any:
    """Return the value at a path of keys; lists are walked item by item, at most 8 levels deep."""
    if not path or value is None:
        return value
    if isinstance(value, list) and depth < _MOST_LISTS:
        return [walk(item, path, depth + 1) for item in value]
    return walk(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def collect_texts(value: Any, paths: tuple[str, ...]) -> frozenset[str]:
    """Return every scalar at these dotted paths as a string."""
    texts: set[str] = set()
    pending = [walk(value, path.split(".")) for path in paths]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        elif item is not None:
            texts.add(str(item))
    return frozenset(texts)


async def measure_fields(fields: Json) -> dict[str, int]:
    """Return the characters that each field takes in an answer without truncation, counted in time slices."""
    sizes = dict.fromkeys(fields, 0)
    for name, value in fields.items():
        async for size in iterate_in_slices([len(value)] if isinstance(value, str) else _measure_parts(value)):
            sizes[name] += size
    return sizes


def _measure_parts(value: Any, depth: int = 0) -> Iterator[int]:
    """Yield the length of a value's JSON in parts that are quick to measure."""
    if not isinstance(value, list | dict) or depth == 3:
        yield len(dumps(value))
        return
    items = list(value.values()) if isinstance(value, dict) else value
    keys = list(value) if isinstance(value, dict) else []
    yield 2 + max(len(items) - 1, 0)
    for start in range(0, len(items), _BATCH):
        batch = items[start : start + _BATCH]
        yield sum(len(dumps(key)) + 1 for key in keys[start : start + _BATCH])
        if any(isinstance(item, list | dict) for item in batch):
            for item in batch:
                yield from _measure_parts(item, depth + 1)
        else:
            yield len(dumps(batch)) - 1 - len(batch)
