"""How it is found out whether a change happened whose answer cannot be used."""

from __future__ import annotations

from typing import Any

from airflow_mcp.catalog.manifest_syntax import ManifestModel


class ReadBack(ManifestModel):
    """What shows whether a change happened whose answer cannot be used: `operation`, read with the call's own ids.

    It happened where the record, or every row, holds what was asked for: each argument that is a field of it, those of
    `holds` under another name, and `values`.
    """

    operation: str
    asks: dict[str, str] = {}  # argument of `operation` -> the call's, where that is called otherwise
    where: dict[str, Any] = {}  # arguments of `operation` that are always the same
    holds: dict[str, str] = {}  # field of the record -> the call's argument
    apart: tuple[str, ...] = ()  # arguments that may be held otherwise: the id alone tells, and the rest is shown
    values: dict[str, Any] = {}  # field of the record -> its value afterwards; "*" for any but null
    gone: bool = False  # it happened where there is no such object, or no row
    made: str = ""  # field with the time a row was made at: it happened where one that fits was made since
    unfinished: bool = False  # of task instances: it happened where none of those that still match has ended
