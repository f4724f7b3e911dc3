"""The generated files (snapshots, docs, the README's table) say what the catalog says now."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.settings.settings import FILE_ONLY, Settings
from tests.generated import docs, snapshots
from tests.generated.markdown import settings_page, tools_page

# What a conversation pays for before its first question.
MOST_LISTED, MOST_CHARACTERS = 25, 16_400
ALWAYS_LISTED = {
    *("diagnose_dag_run", "why_not_running", "read_task_log", "health_report", "get_dag_overview", "wait_for_dag_run"),
    *("list_dags", "list_dag_runs", "list_import_errors", "find_tools", "call_tool", "call_changing_tool"),
}


def test_what_a_model_sees_of_every_tool_is_what_was_reviewed() -> None:
    changes = snapshots.difference(snapshots.reviewed(), snapshots.current())
    assert not changes, f"run make snapshots and review\n{changes}"


def test_the_docs_say_what_the_catalog_says() -> None:
    files = docs.stale(docs.pages())
    assert not files, docs.complaint(files)


def test_there_is_one_snapshot_for_each_tool_and_no_other() -> None:
    assert {name.removesuffix(".json") for name in snapshots.current()} == set(load_catalog().tools)


def test_a_snapshot_shows_what_a_client_shows_its_model() -> None:
    seen = json.loads(snapshots.current()["delete_pool.json"])
    assert seen["annotations"] == {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": False,
        "openWorldHint": False,
    }
    assert seen["inputSchema"]["required"] == ["pool_name"]
    assert {"title", "description", "characters"} <= seen.keys()


def test_the_default_list_is_lean_with_everything_allowed_and_leads_to_all_the_rest() -> None:
    tools = anyio.run(snapshots.listed, snapshots.server(toolsets=()))
    assert len(tools) <= MOST_LISTED
    assert sum(map(snapshots.characters, tools)) <= MOST_CHARACTERS
    assert {tool.name for tool in tools} >= ALWAYS_LISTED


def test_a_snapshot_of_a_tool_that_is_gone_is_a_difference(tmp_path: Path) -> None:
    snapshots.write({"kept.json": "{}\n", "gone.json": "{}\n"}, tmp_path)
    assert "reviewed/gone.json" in snapshots.difference(snapshots.reviewed(tmp_path), {"kept.json": "{}\n"})


def test_writing_snapshots_removes_those_of_tools_that_are_gone(tmp_path: Path) -> None:
    snapshots.write({"gone.json": "{}\n"}, tmp_path)
    snapshots.write({"kept.json": "{}\n"}, tmp_path)
    assert snapshots.reviewed(tmp_path) == {"kept.json": "{}\n"}


def test_every_tool_has_its_section_and_every_argument_its_row() -> None:
    page = tools_page(load_catalog(), {})
    for tool in load_catalog().tools.values():
        section = page.partition(f"### {tool.name}\n")[2].partition("\n### ")[0]
        assert tool.entry.summary in section
        for use in tool.entry.params:
            assert f"| `{use.name}` |" in section


def test_every_setting_has_its_row() -> None:
    page = settings_page()
    for name in Settings.model_fields:
        variable = "" if name in FILE_ONLY else f"`AIRFLOW_MCP_{name.upper()}`"
        assert " ".join(f"| {variable} | `{name}` |".split()) in " ".join(page.split())


def test_text_outside_the_markers_stays_and_text_between_them_goes() -> None:
    readme = f"before\n{docs.START}\nold\n{docs.END}\nafter\n"
    assert docs.with_table(readme, "new") == f"before\n{docs.START}\nnew\n{docs.END}\nafter\n"


def test_a_readme_without_the_markers_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="the table of tools goes between them"):
        docs.with_table("no markers", "table")
