"""Every tool of the catalog, over stdio, against both Airflows: a tool without a row in the table is a red test."""

from __future__ import annotations

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.versions import Version

from . import (
    changes,
    changes_runs,
    changes_tasks,
    reads,
    reads_runs,
    rows_access,
    rows_assets,
    rows_connections,
    rows_states,
    rows_variables,
    rows_world,
)
from .harness import Row, Site

ROOMS = (
    *(reads, changes, reads_runs, changes_runs, changes_tasks),
    *(rows_access, rows_assets, rows_connections, rows_states, rows_variables, rows_world),
)
READS: dict[str, Row] = {name: row for room in ROOMS for name, row in getattr(room, "READS", {}).items()}
CHANGES: dict[str, Row] = {name: row for room in ROOMS for name, row in getattr(room, "CHANGES", {}).items()}
EXCUSED: dict[str, str] = {name: words for room in ROOMS for name, words in getattr(room, "EXCUSED", {}).items()}
TABLE = READS | CHANGES
TOOLS = load_catalog().tools


def test_the_table_has_a_row_for_every_tool_and_for_nothing_else() -> None:
    assert sorted(TABLE) == sorted(TOOLS)


def test_the_table_calls_a_read_a_read_and_a_change_a_change() -> None:
    assert {name for name in READS if TOOLS[name].entry.access != "read"} == set()
    assert {name for name in CHANGES if TOOLS[name].entry.access == "read"} == set()


def can_succeed(site: Site, tool: str) -> bool:
    """Whether this Airflow has a tool, and what the tool needs; 3.x has users and roles with FAB alone."""
    entry = TOOLS[tool].entry
    without_fab = not site.is_old and entry.v2 is not None and entry.v2.is_auth_manager_route
    return tool not in EXCUSED and entry.since.has(Version.parse(site.version)) and not without_fab


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_answers_rightly_and_airflow_holds_what_it_says(site: Site, tool: str) -> None:
    assert tool in TABLE, f"{tool} has no row in any of {[room.__name__ for room in ROOMS]}"
    TABLE[tool](site)
    assert (tool in site.proved) == can_succeed(site, tool)


def test_whoever_may_use_everything_is_offered_what_this_airflow_has(site: Site) -> None:
    version = Version.parse(site.version)
    assert set(site.chief.tools()) == {name for name, tool in TOOLS.items() if tool.entry.since.has(version)}


def test_whoever_may_only_read_is_offered_reads_only(site: Site) -> None:
    assert set(site.reader.tools()) == set(site.admin.tools()) & set(READS)


def test_whoever_may_write_is_offered_nothing_destructive(site: Site) -> None:
    """A vehicle, which does what several tools do, is offered where one of its effects is a write."""
    offered = [TOOLS[name] for name in site.writer.tools() if not TOOLS[name].entry.forwards]
    assert {tool.entry.access for tool in offered if not tool.is_vehicle} == {"read", "write"}
    for tool in offered:
        assert {"read", "write"} & {effect.entry.access for effect in tool.effects}, tool.name


def test_a_write_allowed_by_its_class_is_done_and_a_destructive_one_is_not_sent(site: Site) -> None:
    assert site.writer.ask("trigger_dag_run", dag_id="params", dag_run_id="by-class")["state"] == "queued"
    words = site.writer.refusal("delete_dag_run", dag_id="params", dag_run_id="by-class")
    assert "AIRFLOW_MCP_ALLOW" in words
    assert site.held("/dags/params/dagRuns/by-class")["state"] == "queued"
