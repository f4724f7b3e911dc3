"""Two real Airflows behind one server: every call says which, and each has rules of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.versions import Version

from .changes import new_run
from .harness import VERSIONS, Json, Site, Talker, rows_of

NAMES = dict(zip(("new", "old"), VERSIONS, strict=True))
READS = {
    name
    for name, tool in load_catalog().tools.items()
    if tool.entry.access == "read" and any(tool.entry.since.has(Version.parse(version)) for version in VERSIONS)
}
RULES = {
    "new": 'allow = [{ tools = ["trigger_dag_run", "delete_pool"], confirm = "plan" }]',
    "old": 'allow = [{ tools = ["delete_pool", "pause_dag"] }]\ndeny = [{ tools = ["*"], dags = ["leaking"] }]',
}


class Both:
    """A client of the one server, and both Airflows by their names there."""

    def __init__(self, talker: Talker, sites: dict[str, Site], audit: Path) -> None:
        self.talker = talker
        self.audit = audit
        self.sites = {name: sites[version] for name, version in NAMES.items()}

    def previewed(self, tool: str, /, **arguments: Any) -> Json:
        """The answer to a call that is not carried out at once."""
        answer = self.talker.result(tool, arguments).structured_content
        assert answer is not None
        return answer


@pytest.fixture(scope="module")
def both(sites: dict[str, Site], tmp_path_factory: pytest.TempPathFactory) -> Both:
    """One server with both Airflows, each allowed something else."""
    folder = tmp_path_factory.mktemp("both")
    lines: list[str] = []
    for name, version in NAMES.items():
        airflow = sites[version].airflow
        login = {"url": airflow.url, "username": airflow.username, "password": airflow.password}
        lines += [f"[instances.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in login.items()), RULES[name]]
    file, audit = folder / "both.toml", folder / "audit.jsonl"
    file.write_text("\n".join(lines) + "\n")
    environment = {"AIRFLOW_MCP_CONFIG": str(file), "AIRFLOW_MCP_AUDIT": str(audit), "AIRFLOW_MCP_TOOLSETS": "all"}
    return Both(sites[VERSIONS[0]].opened("both", environment), sites, audit)


def test_what_is_on_offer_is_what_either_has_and_allows(both: Both) -> None:
    vehicles = {"trigger_and_wait", "bulk_pools", "pause_dags"}  # other ways to what the rules allow
    allowed = {"trigger_dag_run", "delete_pool", "pause_dag"}
    assert set(both.talker.tools()) == READS | allowed | vehicles | {"call_changing_tool"}


def test_every_tool_takes_the_name_of_an_airflow_and_a_change_needs_it(both: Both) -> None:
    for tool in both.talker.listed():
        if tool.name in ("call_tool", "call_changing_tool"):  # among the arguments of the tool they run
            assert set(tool.input_schema["properties"]) == {"tool", "arguments"}
            continue
        assert tool.input_schema["properties"]["instance"]["enum"] == ["new", "old"], tool.name
        assert ("instance" in tool.input_schema.get("required", [])) is (tool.name not in READS), tool.name


def test_a_read_goes_to_the_airflow_it_names_else_to_the_first_and_says_to_which(both: Both) -> None:
    for name, version in NAMES.items():
        assert both.talker.ask("get_version", instance=name) == {"instance": name, "version": version}
    assert both.talker.ask("get_version") == {"instance": "new", "version": VERSIONS[0]}
    for name in NAMES:
        answer = both.talker.ask("list_dags", instance=name, dag_id_pattern="still")
        assert (answer["instance"], [row["dag_id"] for row in rows_of(answer)]) == (name, ["still"])


def test_a_tool_that_one_airflow_lacks_is_refused_there_and_answered_by_the_other(both: Both) -> None:
    assert both.talker.ask("list_dag_tags", instance="new")["instance"] == "new"
    assert "needs Airflow 3.0 or newer" in both.talker.refusal("list_dag_tags", instance="old")


@pytest.mark.parametrize("tool", ["trigger_dag_run", "delete_pool", "pause_dag"])
def test_a_change_that_names_no_airflow_or_an_unknown_one_is_refused(both: Both, tool: str) -> None:
    arguments = {"pool_name": "default_pool"} if tool == "delete_pool" else {"dag_id": "still"}
    assert both.talker.refusal(tool, **arguments).endswith("required for what changes something; one of new, old.")
    words = both.talker.refusal(tool, **arguments, instance="other")
    assert words == f"{tool}: instance must be one of new, old, not 'other'."


def test_each_airflow_has_its_own_rules(both: Both) -> None:
    run: Json = {"dag_id": "still", "dag_run_id": "of-two"}
    assert "or on other Airflows" in both.talker.refusal("trigger_dag_run", **run, instance="old")
    assert "or on other Airflows" in both.talker.refusal("pause_dag", dag_id="still", instance="new")
    preview = both.previewed("trigger_dag_run", **run, instance="new")
    assert set(preview) == {"instance", "preview", "plan", "hint", "next"}
    done = both.talker.ask("trigger_dag_run", **run, instance="new")
    assert (done["instance"], done["state"]) == ("new", "queued")
    assert both.sites["new"].held("/dags/still/dagRuns/of-two")["state"] == "queued"
    assert both.sites["old"].rest("GET", "/dags/still/dagRuns/of-two")[0] == 404
    paused = both.talker.ask("pause_dag", dag_id="still", instance="old")
    assert (paused["instance"], paused["is_paused"]) == ("old", True)


def test_what_one_airflow_hides_the_other_shows(both: Both) -> None:
    for site in both.sites.values():
        site.ended("leaking", "leak-1")
    run: Json = {"dag_id": "leaking", "dag_run_id": "leak-1"}
    assert both.talker.ask("get_dag_run", **run, instance="new")["instance"] == "new"
    assert "deny rule 1 (" in both.talker.refusal("get_dag_run", **run, instance="old")
    seen = {
        name: {row["dag_id"] for row in both.talker.rows("list_dag_runs", dag_id="~", instance=name)} for name in NAMES
    }
    assert "leaking" in seen["new"]
    assert "leaking" not in seen["old"]


def test_a_rule_about_one_airflow_changes_nothing_for_the_other(both: Both) -> None:
    told: Json = {"instance": "new"}
    site = both.sites["new"]
    assert both.talker.ask("list_dag_tags", **told) == told | site.reader.ask("list_dag_tags")
    files: Json = {"fields": ["filename"]}
    assert {row["filename"] for row in both.talker.rows("list_import_errors", **told, **files)} == {
        row["filename"] for row in site.reader.rows("list_import_errors", **files)
    }


def test_a_plan_of_one_airflow_is_not_good_for_the_other(both: Both) -> None:
    pool: Json = {"name": "twin", "slots": 2, "include_deferred": False}
    for site in both.sites.values():
        site.change("POST", "/pools", pool)
    plan = both.previewed("delete_pool", pool_name="twin", instance="old")["plan"]
    words = both.talker.refusal("delete_pool", pool_name="twin", instance="new", plan=plan)
    assert "was given to another caller or for another Airflow" in words
    assert both.sites["new"].held("/pools/twin")["slots"] == 2
    done = both.talker.ask("delete_pool", pool_name="twin", instance="old", plan=plan)
    assert done == {"instance": "old", "done": True, "pool_name": "twin"}
    assert both.sites["old"].rest("GET", "/pools/twin")[0] == 404
    assert both.sites["new"].held("/pools/twin")["slots"] == 2
    both.sites["new"].change("DELETE", "/pools/twin")


def test_the_audit_file_says_which_airflow_each_call_was_about(both: Both) -> None:
    before = len(both.audit.read_text().splitlines()) if both.audit.exists() else 0
    for name, site in both.sites.items():
        run = new_run(site, "told-of")
        both.talker.ask("get_dag_run", **run, instance=name)
    lines = [json.loads(line) for line in both.audit.read_text().splitlines()[before:]]
    assert [(line["instance"], line["tool"]) for line in lines] == [("new", "get_dag_run"), ("old", "get_dag_run")]
