"""Airflow's records in our vocabulary: one name for both generations, secrets masked, unseen characters removed."""

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

FULL_SIZE = 100_000  # characters of a value that a workflow works with
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)")
_MOST_LISTS = 8  # lists in each other on the way to a key
_BATCH = 500  # items whose size is counted at once


def dumps(value: Any) -> str:
    """Compact JSON, Unicode unescaped: the form whose characters are counted."""
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
    """A record in our vocabulary, safe to show, and the whole values of fields of which only a part is in it.

    Every field, or None for those that are not in `only`; at least `size` characters of each. `reveal` lifts the
    masking of secrets (@secret). Ids are safe to compare and to send, not to show.
    """
    if record.scalar:
        return {record.scalar: take_excerpt(raw, CharacterBudget(ANY_SIZE))}, {}
    legacy = generation == "v1"
    fields: Json = {record.bare_v1: raw} if record.bare_v1 and legacy else dict(raw)
    for theirs, ours in (record.rename | (record.rename_v1 if legacy else {})).items():
        if theirs in fields:
            value = fields.pop(theirs)
            fields[ours] = value if fields.get(ours) is None else fields[ours]
    for ours, path in (record.pluck | (record.pluck_v1 if legacy else {})).items():
        fields[ours] = walk(raw, path.split(".")) if only is None or ours in only else None
    for ours, theirs in (record.invert_v1 if legacy else {}).items():
        fields[ours] = not fields.pop(theirs) if fields.get(theirs) is not None else None
    for ours, (begin, end) in record.elapsed.items():
        if fields.get(ours) is None and (only is None or ours in only):
            fields[ours] = _measure_seconds(fields.get(begin), fields.get(end))
    safe: Json = dict.fromkeys(map(clean, fields))
    cut: Json = {}
    for name in fields if only is None else only & fields.keys():
        if (value := fields[name]) is not None and not (name in record.blank and value == record.blank[name]):
            budget = CharacterBudget(ANY_SIZE if name in record.ids else size)
            part = take_excerpt(value, budget, keep_end=name in record.tail)
            safe[clean(name)] = part if name in record.ids else _make_safe(name, part, fields, record, reveal)
            if budget.cut:
                cut[clean(name)] = value
    return safe, cut


def _measure_seconds(begin: Any, end: Any) -> float | None:
    """The seconds from one ISO 8601 time to another; None where one of them is missing, or is no time."""
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
        known_as = str(fields.get(record.named[name], name)) if name in record.named else name
        value = MASK if name in record.secret and value else redact(value, known_as)
    return value if name in record.text else tidy(value)


def _unwrap_names(value: Any) -> Any:
    """{"name": "Op"} -> "Op", wherever it stands."""
    if isinstance(value, dict):
        return value["name"] if list(value) == ["name"] else {key: _unwrap_names(item) for key, item in value.items()}
    return [_unwrap_names(item) for item in value] if isinstance(value, list) else value


def tidy(value: Any) -> Any:
    """Airflow's own values: nulls dropped, UTC as Z, floats to milliseconds. What others wrote stays as it is."""
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [tidy(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 3)  # infinities are texts by then
    if isinstance(value, str) and (moment := MOMENT.fullmatch(value)):
        return f"{moment[1]}{moment[2] or ''}Z"
    return value


def walk(value: Any, path: list[str], depth: int = 0) -> Any:
    """What stands at a path of keys; lists are walked item by item, as deep as Airflow nests any."""
    if not path or value is None:
        return value
    if isinstance(value, list) and depth < _MOST_LISTS:
        return [walk(item, path, depth + 1) for item in value]
    return walk(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def collect_texts(value: Any, paths: tuple[str, ...]) -> frozenset[str]:
    """Every text at these dotted paths."""
    found: set[str] = set()
    left = [walk(value, path.split(".")) for path in paths]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif one is not None:
            found.add(str(one))
    return frozenset(found)


async def measure_fields(fields: Json) -> dict[str, int]:
    """The characters of these fields as an answer would show them whole, counted in pieces."""
    sizes = dict.fromkeys(fields, 0)
    for name, value in fields.items():
        async for size in iterate_in_slices([len(value)] if isinstance(value, str) else _measure_parts(value)):
            sizes[name] += size
    return sizes


def _measure_parts(value: Any, depth: int = 0) -> Iterator[int]:
    """The length of a value's JSON, in parts that take a moment each."""
    if not isinstance(value, list | dict) or depth == 3:
        yield len(dumps(value))
        return
    items = list(value.values()) if isinstance(value, dict) else value
    keys = list(value) if isinstance(value, dict) else []
    yield 2 + max(len(items) - 1, 0)
    for start in range(0, len(items), _BATCH):
        some = items[start : start + _BATCH]
        yield sum(len(dumps(key)) + 1 for key in keys[start : start + _BATCH])
        if any(isinstance(item, list | dict) for item in some):
            for item in some:
                yield from _measure_parts(item, depth + 1)
        else:
            yield len(dumps(some)) - 1 - len(some)
