"""Every tool of the catalog, over stdio, against both Airflows: a tool without a row in the table is a red test."""

from __future__ import annotations

import pytest

from airflow_mcp.catalog.load import load_catalog
from airflow_mcp.catalog.versions import Version

from .changes import CHANGES
from .harness import Site
from .reads import READS

TABLE = READS | CHANGES
TOOLS = load_catalog().tools


def test_the_table_has_a_row_for_every_tool_and_for_nothing_else() -> None:
    assert sorted(TABLE) == sorted(TOOLS)


def test_the_table_calls_a_read_a_read_and_a_change_a_change() -> None:
    assert {name for name in READS if TOOLS[name].entry.access != "read"} == set()
    assert {name for name in CHANGES if TOOLS[name].entry.access == "read"} == set()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_answers_rightly_and_airflow_holds_what_it_says(site: Site, tool: str) -> None:
    assert tool in TABLE, f"{tool} has no row in reads.py or changes.py"
    TABLE[tool](site)


def test_whoever_may_use_everything_is_offered_what_this_airflow_has(site: Site) -> None:
    version = Version.parse(site.version)
    assert set(site.admin.tools()) == {name for name, tool in TOOLS.items() if tool.entry.since.has(version)}


def test_whoever_may_only_read_is_offered_reads_only(site: Site) -> None:
    assert set(site.reader.tools()) == set(site.admin.tools()) & set(READS)


def test_whoever_may_write_is_offered_nothing_destructive(site: Site) -> None:
    offered = {TOOLS[name].entry.access for name in site.writer.tools()}
    assert offered == {"read", "write"}


def test_a_write_allowed_by_its_class_is_done_and_a_destructive_one_is_not_sent(site: Site) -> None:
    assert site.writer.ask("trigger_dag_run", dag_id="params", dag_run_id="by-class")["state"] == "queued"
    words = site.writer.refusal("delete_dag_run", dag_id="params", dag_run_id="by-class")
    assert "AIRFLOW_MCP_ALLOW" in words
    assert site.held("/dags/params/dagRuns/by-class")["state"] == "queued"
