"""Airflow's answer to one operation, in our vocabulary and whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import UnusableAnswerError
from airflow_mcp.tools import shape

PLAIN = Record(keep=())
_OTHER_NAMES = (
    "dag_id",
    "task_id",
    "logical_date",
    "partition_key",
    "asset_id",
    "uri",
    "key",
)  # of what belongs to no run


@dataclass(frozen=True)
class Reply:
    """Rows of a list (`total` counts all there are), or one record.

    Where policy hides rows, `total` is None, and `after` has Airflow's own offset behind each row, and at the end the
    one to go on from, if more may follow.
    """

    rows: list[Json] | None
    total: int | None
    one: Json | None
    record: Record
    after: tuple[int, ...] = ()
    cursor: str | None = None  # behind these rows, where Airflow pages by cursor
    status: int | None = None  # the HTTP status that the operation itself got
    hint: str = ""  # of a change: that its answer could not be used, and what reading back showed


def read_reply(
    tool: Tool,
    raw: Any,
    arguments: Json,
    catalog: Catalog,
    version: Version,
    *,
    fields: tuple[str, ...] = ("*",),
    reveal: bool = False,
) -> Reply:
    """Airflow's answer in our vocabulary. Raises UnusableAnswerError for one that is not what it should be."""
    entry, generation = tool.entry, version.generation
    record = catalog.records[entry.record] if entry.record else PLAIN
    if entry.record is None:
        return Reply(None, 0, None, record)
    key = entry.rows_key(generation)
    if key is None or (entry.single and isinstance(raw, dict) and key not in raw):
        record = catalog.records[entry.single] if entry.single else record
        if not isinstance(raw, dict):
            raise UnusableAnswerError(f"Airflow {version} answered {tool.name} without a record.", 200)
        return Reply(None, 0, shape.normalise(raw, record, generation, reveal=reveal), record)
    if not isinstance(raw, dict) or not isinstance(raw.get(key), list):
        raise UnusableAnswerError(f"Airflow {version} answered {tool.name} without the list {key!r}.", 200)
    only = None if "*" in fields else frozenset((*record.columns, *fields, entry.newest or ""))
    items = _unnested(raw[key], record.unnest)
    rows = [shape.normalise(item, record, generation, reveal=reveal, only=only) for item in items]
    for name in entry.picks:
        rows = [row for row in rows if name not in arguments or row.get(name) == arguments[name]]
    if newest := entry.newest:
        rows.sort(key=lambda row: row.get(newest) or 0, reverse=True)
    total = raw.get("total_entries")
    if not any(use.name == "offset" and use.since.has(version) for use in entry.params):  # not paged by Airflow
        offset, total = arguments.get("offset", 0), len(rows) if total is None else total
        rows = rows[offset : offset + arguments.get("limit", total)]
    return Reply(rows, len(rows) if total is None else total, None, record, cursor=raw.get("next_cursor"))


def _unnested(items: list[Any], unnest: dict[str, str]) -> list[Any]:
    for inner, name in unnest.items():
        items = [{name: item.get("name"), **one} for item in items for one in item.get(inner) or ()]
    return items


def dags_of(rows: list[Json] | None) -> frozenset[str]:
    """The DAGs that the rows of a dry run are of: dependent tasks stand in other DAGs too."""
    return frozenset(str(row["dag_id"]) for row in rows or [] if row.get("dag_id"))


def key_of(row: Json) -> tuple[Any, ...]:
    """What tells one target from every other. Its name does not: an id may hold the sign between two of them."""
    return tuple(row.get(key) for key in ("dag_run_id", "map_index", *_OTHER_NAMES))


def name_of(row: Json) -> str:
    """One target in a few words, the same for the same object: etl/r1/load[3], or etl/2026-01-01T00:00:00Z."""
    index = row.get("map_index")
    keys = ("dag_id", "dag_run_id", "task_id") if row.get("dag_run_id") else _OTHER_NAMES
    place = "/".join(str(row[key]) for key in keys if row.get(key) is not None)
    return place if index is None else f"{place}[{index}]"
