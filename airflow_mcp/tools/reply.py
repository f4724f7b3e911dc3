"""Airflow's answer to one operation, in our vocabulary and whole."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.policy.decide import Touched


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


def reached(touched: Touched, rows: list[Json]) -> Touched:
    """What is touched, with the DAGs of the rows that a dry run found: dependent tasks stand in other DAGs too."""
    dags = frozenset(str(row["dag_id"]) for row in rows if row.get("dag_id"))
    return {"dag": dags | (touched.get("dag") or frozenset())} if dags else {}


def name_of(row: Json) -> str:
    """One target in a few words, the same for the same object: etl/r1/load[3], or etl/2026-01-01T00:00:00Z."""
    index = row.get("map_index")
    keys = ("dag_id", "dag_run_id", "task_id") if row.get("dag_run_id") else ("dag_id", "logical_date", "partition_key")
    place = "/".join(str(row[key]) for key in keys if row.get(key) is not None)
    return place if index is None else f"{place}[{index}]"
