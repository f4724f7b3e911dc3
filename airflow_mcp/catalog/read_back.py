"""How to find out whether a change happened, if its answer cannot be used."""

from __future__ import annotations

from typing import Any

from airflow_mcp.catalog.manifest_syntax import ManifestModel


class ReadBack(ManifestModel):
    """The read that shows whether a change with an unusable answer happened: `operation`, with the call's own ids.

    It happened if the record, or every row, holds what the call asked for: each argument that is a field of it, those
    of `holds` under another name, and `values`.
    """

    operation: str
    asks: dict[str, str] = {}  # argument of `operation` -> the call's, where its name differs
    where: dict[str, Any] = {}  # arguments of `operation` that are always the same
    holds: dict[str, str] = {}  # field of the record -> the call's argument
    apart: tuple[str, ...] = ()  # arguments that may be stored otherwise: the id alone decides, and the rest is shown
    values: dict[str, Any] = {}  # field of the record -> its value afterwards; "*" for any but null
    gone: bool = False  # it happened if there is no such object, or no row
    made: str = ""  # field with a row's creation time: it happened if a fitting row was created since
    unfinished: bool = False  # of task instances: it happened if none of those that still match has ended
