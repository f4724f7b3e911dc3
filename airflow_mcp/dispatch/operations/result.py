"""The result of one operation: Airflow's complete answer in the names of the catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.answer.normalize import FULL_SIZE, measure_fields, normalise
from airflow_mcp.errors import UnusableAnswerError
from airflow_mcp.time_slice import TimeSlice

PLAIN = Record(keep=())
_RUN_NAMES = ("dag_id", "dag_run_id", "task_id")
_OTHER_NAMES = (
    "dag_id",
    "task_id",
    "logical_date",
    "partition_key",
    "asset_id",
    "uri",
    "key",
)  # of objects that belong to no run
NAME_FIELDS = (*_RUN_NAMES, "map_index", *_OTHER_NAMES)  # the fields that `name_target` needs


@dataclass(frozen=True)
class OperationResult:
    """Rows of a list (`total` counts all rows that Airflow has), or one record.

    Where policy hides rows, `total` is None, and `after` has Airflow's offset after each row, and last the offset to
    continue from, if more rows may follow.
    """

    rows: list[Json] | None
    total: int | None
    single: Json | None
    record: Record
    after: tuple[int, ...] = ()
    cursor: str | None = None  # of the next page, where Airflow pages by cursor
    sizes: dict[str, int] = field(default_factory=dict[str, int])  # full sizes of truncated fields, in characters
    status: int | None = None  # the HTTP status of the operation itself
    previous: Json = field(default_factory=dict[str, Any])  # of an update: the previous values of the written fields
    hint: str = ""  # of a change: that its answer was unusable, and what reading back found
    note: str = ""  # of a read: what its rows lack, and why


async def read_result(
    tool: Tool,
    raw: Any,
    arguments: Json,
    catalog: Catalog,
    version: Version,
    *,
    fields: tuple[str, ...] = ("*",),
    reveal: bool = False,
    size: int = FULL_SIZE,
) -> OperationResult:
    """Convert Airflow's answer to the catalog's names, with at least `size` characters of each value, in time slices.

    Raises UnusableAnswerError when the answer has not the form that Airflow documents.
    """
    entry, generation = tool.entry, version.generation
    record = catalog.records[entry.record] if entry.record else PLAIN
    prefix = f"Airflow {version} answered {tool.name}"
    if entry.record is None:
        if entry.access != "read" and raw not in (None, {}):  # not documented, so the answer is not Airflow's
            raise UnusableAnswerError(f"{prefix} with something where it has nothing to answer.", 200)
        return OperationResult(None, 0, None, record)
    key = entry.rows_key(generation)
    if key is None or (entry.single and isinstance(raw, dict) and key not in raw):
        record = catalog.records[entry.single] if entry.single else record
        if not isinstance(raw, dict):
            raise UnusableAnswerError(f"{prefix} without a record.", 200)
        record_fields, cut_values = normalise(raw, record, generation, reveal=reveal, size=size)
        if entry.access != "read" and all(record_fields.get(name) is None for name in record.keep):
            raise UnusableAnswerError(f"{prefix} with an object that has nothing of what it should have.", 200)
        return OperationResult(None, 0, record_fields, record, sizes=await measure_fields(cut_values))
    if not isinstance(raw, dict) or not isinstance(raw.get(key), list):
        raise UnusableAnswerError(f"{prefix} without the list {key!r}.", 200)
    total, cursor = raw.get("total_entries"), raw.get("next_cursor")
    if not isinstance(total, int | None) or not isinstance(cursor, str | None):
        raise UnusableAnswerError(f"{prefix} with a total_entries or next_cursor that is none.", 200)
    items = _unnest_rows(raw[key], record.unnest)
    if not record.scalar and not all(isinstance(item, dict) for item in items):
        raise UnusableAnswerError(f"{prefix} with a row in {key!r} that is no object.", 200)
    is_paged = any(use.name == "offset" and use.since.has(version) for use in entry.params)
    offset = 0 if is_paged else arguments.get("offset", 0)
    page = slice(offset, None if is_paged else offset + arguments.get("limit", len(items)))
    if not entry.picks and not entry.newest:
        total = len(items) if total is None else total
        items, page = items[page], slice(None)
    wanted_fields = None if "*" in fields else frozenset((*record.columns, *fields, entry.newest or ""))
    rows: list[Json] = []
    time_slice = TimeSlice()
    for item in items:
        rows.append(normalise(item, record, generation, reveal=reveal, only=wanted_fields, size=size)[0])
        await time_slice.yield_when_due()
    for name in entry.picks:
        rows = [row for row in rows if name not in arguments or row.get(name) == arguments[name]]
    if newest := entry.newest:
        rows.sort(key=lambda row: _read_rank(row.get(newest)), reverse=True)
    return OperationResult(rows[page], len(rows) if total is None else total, None, record, cursor=cursor)


def _unnest_rows(items: list[Any], unnest: dict[str, str]) -> list[Any]:
    """Return each item of a row's list as a row; items of another form stay unchanged and are rejected later."""
    for inner, name in unnest.items():
        items = [
            {name: item.get("name"), **nested} if isinstance(nested, dict) else nested
            for item in items
            for nested in (item.get(inner) or () if isinstance(item, dict) else [item])
        ]
    return items


def _read_rank(value: Any) -> float:
    """Return the sort key of a row; a value that is not a number sorts last."""
    return value if isinstance(value, int | float) else 0


def collect_dag_ids(rows: list[Json] | None) -> frozenset[str]:
    """Return the DAG ids of a dry run's rows: dependent tasks may belong to other DAGs."""
    return frozenset(str(row["dag_id"]) for row in rows or [] if row.get("dag_id"))


def identify_target(row: Json) -> tuple[Any, ...]:
    """Return the identity of a target. Its name is ambiguous: an id may contain the separator of `name_target`."""
    return tuple(row.get(key) for key in ("dag_run_id", "map_index", *_OTHER_NAMES))


def name_target(row: Json) -> str:
    """Return the name of a target, equal for equal objects: etl/r1/load[3], or etl/2026-01-01T00:00:00Z."""
    index = row.get("map_index")
    keys = _RUN_NAMES if row.get("dag_run_id") else _OTHER_NAMES
    place = "/".join(str(row[key]) for key in keys if row.get(key) is not None)
    return place if index is None else f"{place}[{index}]"
