"""Render answers: fit records into a budget of characters, describe what is left out, and make ids safe to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.dispatch.answer.normalize import MOMENT, dumps, tidy
from airflow_mcp.dispatch.next_calls import NextCall
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.redact import is_masked, redact
from airflow_mcp.text import clean, escape_in_sentence, escape_unseen, map_strings, shorten
from airflow_mcp.value_excerpt import show_id

CELL = 300  # characters of one cell in a list
_SMALLEST_CELL = 20


def render_list(
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
    constants: Json | None = None,
    extra: Json | None = None,
) -> Json:
    """Render records as columns and whole rows within `budget` characters.

    `left_out` counts the rows after these; `more` holds the argument that reads them: an offset where the list is
    paged, else a larger max_chars (at most `ceiling`). Columns that are empty, or repeat the caller's own argument
    (`constants`), are dropped. Raises InvalidArgumentsError when `fields` has a name that no record has.
    """
    columns = [
        name
        for name in _select_fields(records, record.columns, fields)
        if any(item.get(name) is not None for item in records) and not _repeats(name, records, constants or {})
    ]
    size = CELL
    while True:
        table = _Table(records, columns, record, size)
        answer = _fit_rows(table, _Remainder(total, after, offset, paged), budget, ceiling, extra or {})
        if answer["rows"] or not records or size <= _SMALLEST_CELL:
            return answer
        size //= 2


def add_cursor(answer: Json, *, fetched: int, total: int | None, cursor: str, next_cursor: str | None) -> Json:
    """Set `more` of a list's answer to the next page's cursor, or to this page with as many rows as fit.

    `total` is Airflow's count, which Airflow limits.
    """
    fields = {name: value for name, value in answer.items() if name not in ("total", "more", "left_out")}
    count = len(answer["rows"])
    if total is not None:
        fields["total"] = total
    if count < fetched:
        return {**fields, "more": {"cursor": cursor, "limit": max(count, 1)}, "left_out": fetched - count}
    return {**fields, "more": {"cursor": next_cursor}} if next_cursor else fields


@dataclass(frozen=True)
class _Remainder:
    """The rows after those of an answer: their number, and the offsets that read them."""

    total: int | None  # None where policy hides rows: no count, and offsets that count the hidden rows too
    after: tuple[int, ...]
    offset: int
    paged: bool


@dataclass
class _Table:
    """Records as rows of cells, made on demand: most rows of a long list do not fit into an answer."""

    records: list[Json]
    columns: list[str]
    record: Record
    size: int  # characters of a cell
    shortened: set[str] = field(default_factory=set[str])
    masked: set[str] = field(default_factory=set[str])

    def make_row(self, number: int) -> list[Any]:
        """Make one row, and record which of its cells are shortened and which ids are masked."""
        return [self._make_cell(self.records[number].get(name), name) for name in self.columns]

    def _make_cell(self, value: Any, name: str) -> Any:
        """Make one cell: times to the second, ids never shortened, and texts that users wrote without reformatting."""
        if value is None or isinstance(value, int | float):
            return value
        if name in self.record.ids:
            shown = map_strings(value, show_id)
            if shown != value and is_masked(shown):
                self.masked.add(name)
            return shown
        if name not in self.record.text and isinstance(value, str) and (moment := MOMENT.fullmatch(value)):
            return f"{moment[1]}Z"
        text = value if isinstance(value, str) else dumps(value)
        if len(text) <= self.size:
            return value
        self.shortened.add(name)
        return shorten(text, self.size, keep_end=name in self.record.tail)


def _fit_rows(table: _Table, rest: _Remainder, budget: int, ceiling: int, extra: Json) -> Json:
    rows: list[list[Any]] = []
    count = len(table.records)

    def describe_remainder(left: int) -> Json:
        if rest.paged and (rows or not count):
            if rest.total is None:  # policy hides the total, and so the number of rows left out
                return {"more": {"offset": rest.after[len(rows) - 1]}}
            return {"more": {"offset": rest.offset + len(rows)}, "left_out": left}
        return {**_advise_larger(_measure_rows(table, ceiling) + 400, budget, ceiling), "left_out": left}

    def answer() -> Json:
        fields: Json = {**extra, "columns": [clean(name) for name in table.columns], "rows": rows}
        if rest.total is not None:
            fields["total"] = rest.total
            remaining = rest.total - rest.offset - len(rows)
        else:
            remaining = count - len(rows)
        if remaining > 0:
            fields |= describe_remainder(remaining)
        elif len(rest.after) > count:
            fields["more"] = {"offset": rest.after[-1]}
        if table.shortened:
            fields["shortened"] = sorted(table.shortened)
        if table.masked:
            hints = [extra["hint"]] if "hint" in extra else []
            fields["hint"] = " ".join([*hints, _describe_masked(table.masked, table.record)])
        return fields

    notes = (0, 0)
    frame = used_size = 0
    for number in range(count):
        row = table.make_row(number)
        if number == 0 or notes != (len(table.shortened), len(table.masked)):
            notes = (len(table.shortened), len(table.masked))
            frame = len(dumps(answer() | {"rows": []})) + 12  # the numbers in it may grow by a few digits
        used_size += len(dumps(row)) + 1
        if frame + used_size > budget:
            break
        rows.append(row)
    row_count = len(rows)
    for number in range(row_count, min(count, row_count + 1 + budget // 8)):  # all rows may fit without a remainder
        rows.append(table.make_row(number))
        used_size += len(dumps(rows[-1])) + 1
        if used_size > budget:
            break
    if len(rows) < count or len(dumps(answer())) > budget:
        del rows[row_count:]
    return answer()


def _measure_rows(table: _Table, most: int) -> int:
    """Return the characters of all rows as JSON; counting stops above `most`."""
    size = 0
    for number in range(len(table.records)):
        size += len(dumps(table.make_row(number))) + 1
        if size > most:
            break
    return size


def _describe_masked(names: set[str], record: Record) -> str:
    """Return a hint about masked ids: no tool accepts a mask as an argument, so it names an alternative."""
    number = next((name for name in ("asset_id", "id") if name in record.keep), None)
    alternative = f"give asset_id ({number}) instead" if "uri" in names and number else "Airflow's UI shows what it is"
    return f"{', '.join(sorted(names))} holds a credential, which is masked, and cannot be taken back: {alternative}."


def render_record(
    record_fields: Json,
    record: Record,
    *,
    budget: int,
    ceiling: int,
    fields: tuple[str, ...] = (),
    extra: Json | None = None,
    sizes: dict[str, int] | None = None,
) -> Json:
    """Render the fields of a record without nulls, with long texts shortened to fit into `budget` characters.

    A null is dropped except in the field `value`, where it is a value. `sizes` has the full sizes of fields that were
    truncated before.
    """
    names = _select_fields([record_fields], record.keep, fields)
    present_names = (name for name in names if name in record_fields)
    values = {name: record_fields[name] for name in present_names if record_fields[name] is not None or name == "value"}
    answer, masked = show_ids(values, record)
    if masked:
        hints = [str(extra["hint"])] if extra and "hint" in extra else []
        extra = {**(extra or {}), "hint": " ".join([*hints, _describe_masked(masked, record)])}
    answer = {**(extra or {}), **answer}
    return fit(answer, budget=budget, ceiling=ceiling, tail=record.tail, sizes=sizes)


def workflow_answer(answer: Json, record: Record, *, budget: int, ceiling: int, reveal: bool = False) -> Json:
    """Render the answer of a workflow, safe to show, within `budget` characters.

    Texts from Airflow were made safe when they were read. Invisible characters left are those of ids, which sentences
    and calls contain too, and are escaped such that the ids can be passed back as arguments.
    """

    safe_fields: Json = {}
    for name, value in answer.items():
        if value is None or name not in record.keep:
            continue
        if name not in record.ids:
            value = _map_strings(value, escape_unseen if name in record.text else escape_in_sentence)
            value = value if reveal else redact(value, name)
            value = value if name in record.text else tidy(value)
        safe_fields[name] = value
    return fit(show_ids(safe_fields, record)[0], budget=budget, ceiling=ceiling, tail=record.tail)


def show_ids(fields: Json, record: Record) -> tuple[Json, set[str]]:
    """Return the fields with ids safe to show, and the names of those that hold a credential."""
    result = {name: _map_strings(value, show_id) if name in record.ids else value for name, value in fields.items()}
    return result, {name for name, value in result.items() if value != fields[name] and is_masked(value)}


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Apply `change` to every string of a value, except in calls to make next, which are final already."""
    if isinstance(value, NextCall):
        return value
    if isinstance(value, list):
        return [_map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): _map_strings(item, change) for key, item in value.items()}
    return change(value) if isinstance(value, str) else value


def fit(
    answer: Json, *, budget: int, ceiling: int, tail: tuple[str, ...] = (), sizes: dict[str, int] | None = None
) -> Json:
    """Return the answer if it fits, else with long values shortened and `left_out` with the missing characters.

    Calls to make next are never shortened. Where shortening is not enough, fields are left out from the last one on.
    `sizes` has the full sizes of values that were truncated before.
    """
    sizes = {name: size for name, size in (sizes or {}).items() if name in answer}
    full_size = len(dumps(answer))
    if full_size <= budget and not sizes:
        return answer
    texts = {name: value if isinstance(value, str) else dumps(value) for name, value in answer.items()}
    full_size += sum(max(size - len(texts[name]), 0) for name, size in sizes.items())
    more_advice = _advise_larger(full_size + 100, budget, ceiling)

    def cut(size: int, fields: int) -> Json:
        shortened = {name: answer[name] for name in list(answer)[:fields]}
        for name in shortened:
            if len(texts[name]) > size and name != "next":
                shortened[name] = shorten(texts[name], size, keep_end=name in tail)
        shown_sizes = {name: len(texts[name]) if name == "next" else min(size, len(texts[name])) for name in shortened}
        left_out = {name: sizes.get(name, len(text)) - shown_sizes.get(name, 0) for name, text in texts.items()}
        return {**shortened, **more_advice, "left_out": {name: count for name, count in left_out.items() if count > 0}}

    low, high = _SMALLEST_CELL, max(_SMALLEST_CELL, *map(len, texts.values()))
    high = min(high, max(budget, _SMALLEST_CELL))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(dumps(cut(middle, len(answer)))) <= budget else (low, middle - 1)
    fields = len(answer)
    while fields and len(dumps(cut(low, fields))) > budget:
        fields -= 1
    return cut(low, fields)


def take_fitting(items: list[Any], budget: int) -> list[Any]:
    """Return as many of the first items as fit into `budget` characters of JSON."""
    for number, item in enumerate(items):
        budget -= len(dumps(item)) + 1
        if budget < 0:
            return items[:number]
    return items


def _advise_larger(size: int, budget: int, ceiling: int) -> Json:
    """Advise how to get an answer of `size` characters: a larger max_chars, up to the operator's ceiling."""
    if budget < ceiling:
        return {"more": {"max_chars": min(ceiling, size)}}
    hint = f"The operator's ceiling is {ceiling} characters (AIRFLOW_MCP_MAX_CHARS): ask for less, by limit or fields."
    return {"hint": hint}


def _select_fields(records: list[Json], kept: tuple[str, ...], fields: tuple[str, ...]) -> tuple[str, ...]:
    if not fields or not records:
        return kept
    record_names = dict.fromkeys(name for item in records for name in item)
    if unknown := [name for name in fields if name != "*" and name not in record_names and name not in kept]:
        additional = ", ".join(sorted(record_names.keys() - set(kept))) or "none"
        raise InvalidArgumentsError(f"fields: {', '.join(unknown)} is unknown here; it can add {additional}.")
    return tuple(dict.fromkeys([*kept, *(record_names if "*" in fields else fields)]))


def _repeats(name: str, records: list[Json], constants: Json) -> bool:
    return name in constants and all(item.get(name) == constants[name] for item in records)
