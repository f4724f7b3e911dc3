"""What real Airflows answer, field by field: one that Airflow adds, drops or renames is noticed, and breaks nothing.

`fields-<version>.json` holds the names of each record's fields as Airflow wrote them when they were last reviewed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.airflow import wire
from airflow_mcp.catalog.grammar import Record
from airflow_mcp.catalog.loader import Tool, load_catalog
from airflow_mcp.catalog.versions import Version

from .harness import Json, Site

CATALOG = load_catalog()
TASK: Json = {"dag_id": "ok", "dag_run_id": "ok-1", "task_id": "produce", "xcom_key": "return_value"}
OTHERS: Json = {"pool_name": "default_pool", "try_number": 1, "map_index": -1}
MAPPED: Json = {"dag_id": "mapped", "dag_run_id": "map-1", "task_id": "load"}
BY_PARENT = {"list_mapped_task_instances": MAPPED}
FOLDER = Path(__file__).parent


def answers(site: Site, tool: Tool) -> list[Json]:
    """The records in Airflow's own answer to this read; none where it needs something that is not there."""
    version, entry = Version.parse(site.version), tool.entry
    route = entry.route(version.generation)
    ids = BY_PARENT.get(tool.name, TASK | OTHERS)
    needed = {use.name for use in entry.params if use.required} | entry.resolve.keys()
    there = route is not None and route.since.has(version) and route.method == "GET" and not route.is_auth_manager_route
    if route is None or not there or needed - ids.keys():
        return []
    names = {use.name for use in entry.params if use.required} | set(route.slots)
    request = wire.build(tool, {name: ids[name] for name in ids if name in names}, CATALOG, version)
    status, answer = site.rest("GET", request.path.removeprefix(f"/api/{version.generation}"))
    if status != 200 or not isinstance(answer, dict):
        return []
    key = entry.rows_key(version.generation)
    rows: list[Any] = answer.get(key, []) if key else [answer]
    return [row for row in rows if isinstance(row, dict)]


def fields(site: Site) -> dict[str, list[str]]:
    """Record -> the names of its fields in all answers that hold one."""
    found: dict[str, set[str]] = {}
    for tool in CATALOG.operations.values():
        if tool.entry.access == "read" and tool.entry.record and not tool.entry.accept:
            for row in answers(site, tool):
                found.setdefault(tool.entry.record, set()).update(row)
    return {name: sorted(names) for name, names in sorted(found.items())}


@pytest.fixture(scope="module")
def answered(site: Site) -> dict[str, list[str]]:
    site.all_ended()
    return fields(site)


def test_a_record_has_the_fields_that_were_reviewed(site: Site, answered: dict[str, list[str]]) -> None:
    reviewed = json.loads((FOLDER / f"fields-{site.version}.json").read_text())
    now = {name: answered.get(name) for name in reviewed}  # others are there only while another test has made one
    assert now == reviewed, f"Airflow answers other fields now; review them and write them down:\n{json.dumps(now)}"


def ours(record: Record, raw: list[str], legacy: bool) -> set[str]:
    """The names that these fields have for a model."""
    rename = record.rename | (record.rename_v1 if legacy else {})
    plucked = [*record.pluck, *(record.pluck_v1 if legacy else ()), *(record.invert_v1 if legacy else ())]
    return {rename.get(name, name) for name in raw} | set(plucked)


def test_every_field_that_is_shown_is_answered_by_one_of_both(sites: dict[str, Site]) -> None:
    for site in sites.values():
        site.all_ended()
    both = {version: fields(site) for version, site in sites.items()}
    seen: dict[str, set[str]] = {}
    for version, found in both.items():
        for name, raw in found.items():
            seen.setdefault(name, set()).update(ours(CATALOG.records[name], raw, version.startswith("2.")))
    seen["action"] = seen["action"] | {"resource"}  # answered by FAB on Airflow 3 alone: tests/fab
    plain = {name: CATALOG.records[name] for name in seen if not CATALOG.records[name].unnest}
    lost = {name: sorted(set(record.keep) - seen[name]) for name, record in plain.items()}
    assert {name: names for name, names in lost.items() if names} == {}
