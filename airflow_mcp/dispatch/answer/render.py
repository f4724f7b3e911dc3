"""Answers: what is kept of records within a budget of characters, what is said of the rest, and how ids are shown."""

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
    """Records as columns and rows, cut at whole rows to `budget` characters.

    `left_out` counts the rows after these; `more` holds the argument that brings them: an offset where the list is
    paged, else a larger max_chars (at most `ceiling`). Columns that are empty, or repeat the caller's own argument
    (`constants`), are dropped. Raises InvalidArgumentsError for a field that no record has.
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
    """A list's answer whose `more` is the cursor behind its rows, or this page again for as many as fit.

    `total` is Airflow's count, which it stops at some bound.
    """
    kept = {name: value for name, value in answer.items() if name not in ("total", "more", "left_out")}
    shown = len(answer["rows"])
    if total is not None:
        kept["total"] = total
    if shown < fetched:
        return {**kept, "more": {"cursor": cursor, "limit": max(shown, 1)}, "left_out": fetched - shown}
    return {**kept, "more": {"cursor": next_cursor}} if next_cursor else kept


@dataclass(frozen=True)
class _Remainder:
    """What there is to say of the rows behind those of an answer: their number, and how they are asked for."""

    total: int | None  # None where policy hides rows: no count, and offsets that count the hidden rows too
    after: tuple[int, ...]
    offset: int
    paged: bool


@dataclass
class _Table:
    """Records as rows of cells, made one after the other: most of a long list is never shown."""

    records: list[Json]
    columns: list[str]
    record: Record
    size: int  # characters of a cell
    shortened: set[str] = field(default_factory=set[str])
    masked: set[str] = field(default_factory=set[str])

    def make_row(self, number: int) -> list[Any]:
        """Make one row, and note which of its cells are shortened, and which ids are masked."""
        return [self._make_cell(self.records[number].get(name), name) for name in self.columns]

    def _make_cell(self, value: Any, name: str) -> Any:
        """A time in a list is shown to the second; what was written by others stays as it is, and an id whole."""
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
            if rest.total is None:  # how many more there are is not told, so neither is how many are left out
                return {"more": {"offset": rest.after[len(rows) - 1]}}
            return {"more": {"offset": rest.offset + len(rows)}, "left_out": left}
        return {**_advise_larger(_measure_rows(table, ceiling) + 400, budget, ceiling), "left_out": left}

    def answer() -> Json:
        built: Json = {**extra, "columns": [clean(name) for name in table.columns], "rows": rows}
        if rest.total is not None:
            built["total"] = rest.total
            left = rest.total - rest.offset - len(rows)
        else:
            left = count - len(rows)
        if left > 0:
            built |= describe_remainder(left)
        elif len(rest.after) > count:
            built["more"] = {"offset": rest.after[-1]}
        if table.shortened:
            built["shortened"] = sorted(table.shortened)
        if table.masked:
            said = [extra["hint"]] if "hint" in extra else []
            built["hint"] = " ".join([*said, _describe_masked(table.masked, table.record)])
        return built

    notes = (0, 0)
    frame = used = 0
    for number in range(count):
        row = table.make_row(number)
        if number == 0 or notes != (len(table.shortened), len(table.masked)):
            notes = (len(table.shortened), len(table.masked))
            frame = len(dumps(answer() | {"rows": []})) + 12  # the numbers in it may grow by a few digits
        used += len(dumps(row)) + 1
        if frame + used > budget:
            break
        rows.append(row)
    shown = len(rows)
    for number in range(shown, min(count, shown + 1 + budget // 8)):  # all may fit where nothing is said of a rest
        rows.append(table.make_row(number))
        used += len(dumps(rows[-1])) + 1
        if used > budget:
            break
    if len(rows) < count or len(dumps(answer())) > budget:
        del rows[shown:]
    return answer()


def _measure_rows(table: _Table, most: int) -> int:
    """Characters of all rows as JSON; not counted further where they are more than `most`."""
    size = 0
    for number in range(len(table.records)):
        size += len(dumps(table.make_row(number))) + 1
        if size > most:
            break
    return size


def _describe_masked(names: set[str], record: Record) -> str:
    """What to say of ids that hold a credential: no tool takes a mask back, so they are named in another way."""
    number = next((name for name in ("asset_id", "id") if name in record.keep), None)
    way = f"give asset_id ({number}) instead" if "uri" in names and number else "Airflow's UI shows what it is"
    return f"{', '.join(sorted(names))} holds a credential, which is masked, and cannot be taken back: {way}."


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
    """One record: its kept fields without nulls, long texts cut to fit `budget` characters.

    Of a `value` null is one too; of any other field it only says that there is none. `sizes` has the whole size of
    those that were cut before.
    """
    names = _select_fields([record_fields], record.keep, fields)
    given = (name for name in names if name in record_fields)
    kept = {name: record_fields[name] for name in given if record_fields[name] is not None or name == "value"}
    answer, masked = show_ids(kept, record)
    if masked:
        said = [str(extra["hint"])] if extra and "hint" in extra else []
        extra = {**(extra or {}), "hint": " ".join([*said, _describe_masked(masked, record)])}
    answer = {**(extra or {}), **answer}
    return fit(answer, budget=budget, ceiling=ceiling, tail=record.tail, sizes=sizes)


def workflow_answer(answer: Json, record: Record, *, budget: int, ceiling: int, reveal: bool = False) -> Json:
    """What a workflow found out, safe to show, cut to `budget` characters.

    What others wrote was made safe when it was read; characters that are not seen are of ids, which stand in sentences
    and calls too, and are written so that they can be given back.
    """

    kept: Json = {}
    for name, value in answer.items():
        if value is None or name not in record.keep:
            continue
        if name not in record.ids:
            value = _map_strings(value, escape_unseen if name in record.text else escape_in_sentence)
            value = value if reveal else redact(value, name)
            value = value if name in record.text else tidy(value)
        kept[name] = value
    return fit(show_ids(kept, record)[0], budget=budget, ceiling=ceiling, tail=record.tail)


def show_ids(fields: Json, record: Record) -> tuple[Json, set[str]]:
    """The same fields with ids as they can be shown, and which of them hold a credential."""
    shown = {name: _map_strings(value, show_id) if name in record.ids else value for name, value in fields.items()}
    return shown, {name for name, value in shown.items() if value != fields[name] and is_masked(value)}


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with `change` applied to every string, but to those of calls to make next: they are ready."""
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
    """The answer itself if it fits, else with its long values cut; `left_out` says how many characters of which.

    Calls to make next are never cut. Where cutting is not enough, fields are left out from the last one on. `sizes` has
    the whole size of values that were cut before.
    """
    sizes = {name: size for name, size in (sizes or {}).items() if name in answer}
    whole = len(dumps(answer))
    if whole <= budget and not sizes:
        return answer
    texts = {name: value if isinstance(value, str) else dumps(value) for name, value in answer.items()}
    whole += sum(max(size - len(texts[name]), 0) for name, size in sizes.items())
    more = _advise_larger(whole + 100, budget, ceiling)

    def cut(size: int, fields: int) -> Json:
        kept = {name: answer[name] for name in list(answer)[:fields]}
        for name in kept:
            if len(texts[name]) > size and name != "next":
                kept[name] = shorten(texts[name], size, keep_end=name in tail)
        said = {name: len(texts[name]) if name == "next" else min(size, len(texts[name])) for name in kept}
        left_out = {name: sizes.get(name, len(text)) - said.get(name, 0) for name, text in texts.items()}
        return {**kept, **more, "left_out": {name: left for name, left in left_out.items() if left > 0}}

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
    """As many of the first items as fit into `budget` characters of JSON."""
    for number, item in enumerate(items):
        budget -= len(dumps(item)) + 1
        if budget < 0:
            return items[:number]
    return items


def _advise_larger(size: int, budget: int, ceiling: int) -> Json:
    """How to get an answer of `size` characters: a larger max_chars, as far as the operator lets it grow."""
    if budget < ceiling:
        return {"more": {"max_chars": min(ceiling, size)}}
    hint = f"The operator's ceiling is {ceiling} characters (AIRFLOW_MCP_MAX_CHARS): ask for less, by limit or fields."
    return {"hint": hint}


def _select_fields(records: list[Json], kept: tuple[str, ...], fields: tuple[str, ...]) -> tuple[str, ...]:
    if not fields or not records:
        return kept
    known = dict.fromkeys(name for item in records for name in item)
    if unknown := [name for name in fields if name != "*" and name not in known and name not in kept]:
        more = ", ".join(sorted(known.keys() - set(kept))) or "none"
        raise InvalidArgumentsError(f"fields: {', '.join(unknown)} is unknown here; it can add {more}.")
    return tuple(dict.fromkeys([*kept, *(known if "*" in fields else fields)]))


def _repeats(name: str, records: list[Json], constants: Json) -> bool:
    return name in constants and all(item.get(name) == constants[name] for item in records)
