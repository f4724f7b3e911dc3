"""Keep, rename, redact and cut a record to a model's size.

A full record (`normalise`) has our names on both generations, no secrets and no unseen characters. An answer
(`list_answer`, `record_answer`) is what is kept of it within a budget of characters, and says what was left out.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.redact import MASK, mask_values, redact
from airflow_mcp.text import clean, in_strings, shorten

_CELL = 300  # characters of one cell in a list
_SMALLEST_CELL = 20
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)")


def dumps(value: Any) -> str:
    """Compact JSON, Unicode unescaped: the form whose characters are counted."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def normalise(
    raw: Any, record: Record, generation: Generation, *, reveal: bool = False, only: frozenset[str] | None = None
) -> Json:
    """A record in our vocabulary, safe to show: every field, or None for those that are not in `only`.

    `reveal` lifts the masking of secrets (@secret).
    """
    if record.scalar:
        return {record.scalar: clean(raw) if isinstance(raw, str) else raw}
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
    safe: Json = dict.fromkeys(fields)
    for name in fields if only is None else only & fields.keys():
        if (value := fields[name]) is not None:
            safe[name] = _safe(name, value, fields, record, reveal)
    return safe


def _safe(name: str, value: Any, fields: Json, record: Record, reveal: bool) -> Any:
    if name in record.blank and value == record.blank[name]:
        return None
    if name in record.ids:
        return value
    value = in_strings(value, clean)
    if name in record.plain:
        value = _named_only(value)
    if not reveal and name in record.secret_values and value not in ("", {}):
        value = mask_values(value)
    elif not reveal:
        known_as = str(fields.get(record.named[name], name)) if name in record.named else name
        value = MASK if name in record.secret and value else redact(value, known_as)
    return value if name in record.text else _tidy(value)


def _named_only(value: Any) -> Any:
    """{"name": "Op"} -> "Op", wherever it stands."""
    if isinstance(value, dict):
        return value["name"] if list(value) == ["name"] else {key: _named_only(item) for key, item in value.items()}
    return [_named_only(item) for item in value] if isinstance(value, list) else value


def _tidy(value: Any) -> Any:
    """Airflow's own values: nulls dropped, UTC as Z, floats to milliseconds. What others wrote stays as it is."""
    if isinstance(value, dict):
        return {key: _tidy(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 3)
    if isinstance(value, str) and (moment := _MOMENT.fullmatch(value)):
        return f"{moment[1]}{moment[2] or ''}Z"
    return value


def walk(value: Any, path: list[str]) -> Any:
    """What stands at a path of keys; lists are walked item by item."""
    if not path or value is None:
        return value
    if isinstance(value, list):
        return [walk(item, path) for item in value]
    return walk(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def texts_at(value: Any, paths: tuple[str, ...]) -> frozenset[str]:
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


def list_answer(
    records: list[Json],
    record: Record,
    *,
    total: int | None,
    after: tuple[int, ...] = (),
    offset: int = 0,
    paged: bool = True,
    budget: int,
    ceiling: int,
    fields: tuple[str, ...] = (),
    given: Json | None = None,
    extra: Json | None = None,
) -> Json:
    """Records as columns and rows, cut at whole rows to `budget` characters.

    `left_out` counts the rows after these; `more` holds the argument that brings them: an offset where the list is
    paged, else a larger max_chars (at most `ceiling`). Columns that are empty, or repeat the caller's own argument
    (`given`), are dropped. Raises InvalidArgumentsError for a field that no record has.
    """
    columns = [
        name
        for name in _wanted(records, record.columns, fields)
        if any(item.get(name) is not None for item in records) and not _repeats(name, records, given or {})
    ]
    cells = [[_cell(item.get(name), name, record) for name in columns] for item in records]
    size = _CELL
    while True:
        shortened: set[str] = set()
        rows = [
            [_cut(value, size, name, record, shortened) for name, value in zip(columns, row, strict=True)]
            for row in cells
        ]
        answer = _fit_rows(columns, rows, total, after, offset, paged, budget, ceiling, extra or {}, shortened)
        if answer["rows"] or not rows or size <= _SMALLEST_CELL:
            return answer
        size //= 2


def by_cursor(answer: Json, *, fetched: int, total: int | None, given: str, following: str | None) -> Json:
    """A list's answer whose `more` is the cursor behind its rows, or this page again for as many as fit.

    `total` is Airflow's count, which it stops at some bound.
    """
    kept = {name: value for name, value in answer.items() if name not in ("total", "more", "left_out")}
    shown = len(answer["rows"])
    if total is not None:
        kept["total"] = total
    if shown < fetched:
        return {**kept, "more": {"cursor": given, "limit": max(shown, 1)}, "left_out": fetched - shown}
    return {**kept, "more": {"cursor": following}} if following else kept


def _fit_rows(
    columns: list[str],
    rows: list[list[Any]],
    total: int | None,
    after: tuple[int, ...],
    offset: int,
    paged: bool,
    budget: int,
    ceiling: int,
    extra: Json,
    shortened: set[str],
) -> Json:
    def more(shown: int, left: int) -> Json:
        if paged and (shown or not rows):
            if total is None:  # how many more there are is not told, so neither is how many are left out
                return {"more": {"offset": after[shown - 1]}}
            return {"more": {"offset": offset + shown}, "left_out": left}
        return {**_more(len(dumps(rows)) + 400, budget, ceiling), "left_out": left}

    def answer(shown: int) -> Json:
        built: Json = {**extra, "columns": columns, "rows": rows[:shown]}
        if total is not None:
            built["total"] = total
            left = total - offset - shown
        else:  # policy hides rows: no count, and offsets that count the hidden rows too
            left = len(rows) - shown
        if left > 0:
            built |= more(shown, left)
        elif len(after) > len(rows):
            built["more"] = {"offset": after[-1]}
        if shortened:
            built["shortened"] = sorted(shortened)
        return built

    frame = len(dumps(answer(0))) + 12  # the numbers in it may grow by a few digits
    shown = 0
    for row in rows:
        frame += len(dumps(row)) + 1
        if frame > budget:
            break
        shown += 1
    return answer(len(rows)) if len(dumps(answer(len(rows)))) <= budget else answer(shown)


def record_answer(
    record_fields: Json,
    record: Record,
    *,
    budget: int,
    ceiling: int,
    fields: tuple[str, ...] = (),
    extra: Json | None = None,
) -> Json:
    """One record: its kept fields without nulls, long texts cut to fit `budget` characters.

    Of a `value` null is one too; of any other field it only says that there is none.
    """
    names = _wanted([record_fields], record.keep, fields)
    given = (name for name in names if name in record_fields)
    kept = {name: record_fields[name] for name in given if record_fields[name] is not None or name == "value"}
    return fit({**(extra or {}), **kept}, budget=budget, ceiling=ceiling, tail=record.tail)


def fit(answer: Json, *, budget: int, ceiling: int, tail: tuple[str, ...] = ()) -> Json:
    """The answer itself if it fits, else with its long values cut; `left_out` says how many characters of which.

    Calls to make next are never cut. Where cutting is not enough, fields are left out from the last one on.
    """
    whole = len(dumps(answer))
    if whole <= budget:
        return answer
    texts = {name: value if isinstance(value, str) else dumps(value) for name, value in answer.items()}
    more = _more(whole + 100, budget, ceiling)

    def cut(size: int, fields: int) -> Json:
        kept = {name: answer[name] for name in list(answer)[:fields]}
        for name in kept:
            if len(texts[name]) > size and name != "next":
                kept[name] = shorten(texts[name], size, keep_end=name in tail)
        sizes = {name: len(texts[name]) if name == "next" else size for name in kept}
        left_out = {name: len(text) - sizes.get(name, 0) for name, text in texts.items()}
        return {**kept, **more, "left_out": {name: left for name, left in left_out.items() if left > 0}}

    low, high = _SMALLEST_CELL, max(map(len, texts.values()))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(dumps(cut(middle, len(answer)))) <= budget else (low, middle - 1)
    fields = len(answer)
    while fields and len(dumps(cut(low, fields))) > budget:
        fields -= 1
    return cut(low, fields)


def fitting(items: list[Any], room: int) -> list[Any]:
    """As many of the first items as fit into `room` characters of JSON."""
    for number, item in enumerate(items):
        room -= len(dumps(item)) + 1
        if room < 0:
            return items[:number]
    return items


def _more(whole: int, budget: int, ceiling: int) -> Json:
    """How to get an answer of `whole` characters: a larger max_chars, as far as the operator lets it grow."""
    if budget < ceiling:
        return {"more": {"max_chars": min(ceiling, whole)}}
    hint = f"The operator's ceiling is {ceiling} characters (AIRFLOW_MCP_MAX_CHARS): ask for less, by limit or fields."
    return {"hint": hint}


def _wanted(records: list[Json], kept: tuple[str, ...], fields: tuple[str, ...]) -> tuple[str, ...]:
    if not fields or not records:
        return kept
    known = dict.fromkeys(name for item in records for name in item)
    if unknown := [name for name in fields if name != "*" and name not in known and name not in kept]:
        more = ", ".join(sorted(known.keys() - set(kept))) or "none"
        raise InvalidArgumentsError(f"fields: {', '.join(unknown)} is unknown here; it can add {more}.")
    return tuple(dict.fromkeys([*kept, *(known if "*" in fields else fields)]))


def _repeats(name: str, records: list[Json], given: Json) -> bool:
    return name in given and all(item.get(name) == given[name] for item in records)


def _cell(value: Any, name: str, record: Record) -> Any:
    """A time in a list is shown to the second; what is an id, or was written by others, stays as it is."""
    if (
        name not in record.ids
        and name not in record.text
        and isinstance(value, str)
        and (moment := _MOMENT.fullmatch(value))
    ):
        return f"{moment[1]}Z"
    return value


def _cut(value: Any, size: int, name: str, record: Record, shortened: set[str]) -> Any:
    if name in record.ids or value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else dumps(value)
    if len(text) <= size:
        return value
    shortened.add(name)
    return shorten(text, size, keep_end=name in record.tail)
