"""Airflow's answer to one operation, in our vocabulary and whole."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mcp.catalog.grammar import Json, Record


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
