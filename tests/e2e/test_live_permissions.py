"""Rules about DAGs on a real Airflow: what they hide, what they refuse, and what is written down of what they allow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.catalog.loader import load_catalog
from tests.unit.samples import a_value

from .changes import SIGNED, new_run
from .harness import CANARY, Json, Site, Talker, rows_of
from .test_live_commands import run as run_command

DENIED = ("leaking", "a.b-c", "doubtful_b")
RULES = """
[[policy.allow]]
tools = ["*"]
confirm = "never"

[[policy.deny]]
tools = ["*"]
dags = ["leaking", "a.b-*", "doubtful_b"]
"""
WORDS = "line 6) denies it, and no permission lifts a denial."
EVERY: Json = {"dag_id": "~", "dag_run_id": "~", "task_id": "~"}
LISTS: list[tuple[str, list[str]]] = [
    ("list_dags", []),
    ("list_dag_warnings", []),
    ("list_dag_runs", ["dag_id"]),
    ("list_task_instances", ["dag_id", "dag_run_id"]),
    ("list_xcoms", ["dag_id", "dag_run_id", "task_id"]),
    ("list_event_logs", []),
]
"""Lists across DAGs, and the arguments that must be "~" for it."""
LEAK: Json = {
    "dag_id": "leaking",
    "dag_run_id": "leak-1",
    "task_id": "leak",
    "xcom_key": "plain",
    "state": "failed",
    "new_state": "failed",
}
"""What the tools that name a DAG could be told of the one that is denied."""


def restricted(site: Site) -> Talker:
    """To whom everything is allowed but what touches one of the denied DAGs."""
    return site.ruled("restricted", RULES)


def walked(talker: Talker, tool: str, **arguments: Any) -> tuple[list[Json], str]:
    """The rows of every page of a list, and all that was said; a page without any DAG has no such column."""
    rows: list[Json] = []
    said = ""
    page: Json | None = {}
    while page is not None:
        answer = talker.ask(tool, **arguments | page, max_chars=100_000)
        rows += [{"dag_id": None, **row} for row in rows_of(answer)]
        said += json.dumps(answer)
        page = answer.get("more")
    return rows, said


@pytest.mark.parametrize(("tool", "every"), LISTS)
def test_a_list_across_dags_has_no_row_of_a_denied_one_and_those_of_the_others(
    site: Site, tool: str, every: list[str]
) -> None:
    site.all_ended()
    arguments = dict.fromkeys(every, "~")
    held, _ = walked(site.reader, tool, **arguments)
    seen, said = walked(restricted(site), tool, **arguments)
    assert {row["dag_id"] for row in held} & set(DENIED), "there is something to hide"
    expected = {row["dag_id"] for row in held if row["dag_id"] not in (*DENIED, None)}
    assert {row["dag_id"] for row in seen} == expected != set()
    assert [name for name in DENIED if name in said] == []
    assert '"total"' not in said, "a count would tell how much is hidden"


def test_a_page_is_filled_up_and_next_leads_on_past_what_is_hidden(site: Site) -> None:
    allowed = [row["dag_id"] for row in site.reader.rows("list_dags") if row["dag_id"] not in DENIED]
    first = restricted(site).ask("list_dags", limit=1)
    assert [row["dag_id"] for row in rows_of(first)] == allowed[:1]
    assert first["more"] == {"offset": 2}, "the first DAG of all is a hidden one"
    seen, _ = walked(restricted(site), "list_dags", limit=1)
    assert [row["dag_id"] for row in seen] == allowed


def test_what_belongs_to_no_dag_is_hidden_where_rules_are_about_dags(site: Site) -> None:
    site.change("POST", "/pools", {"name": "of no dag", "slots": 1, "include_deferred": False})
    site.change("DELETE", "/pools/of%20no%20dag")
    _, held = walked(site.reader, "list_event_logs", fields=["*"])
    assert "of no dag" in held
    _, said = walked(restricted(site), "list_event_logs", fields=["*"])
    assert "of no dag" not in said
    if not site.is_old:
        assert site.reader.rows("list_dag_tags")
        assert restricted(site).rows("list_dag_tags") == []


def requests_so_far(site: Site) -> list[str]:
    """What Airflow was asked, up to now: it writes a request down when the next one comes at the latest."""
    site.held("/version")
    return site.requests()


CATALOG = load_catalog()
NAMING_A_DAG = [tool.name for tool in CATALOG.tools.values() if any(use.name == "dag_id" for use in tool.entry.params)]


def about_leaking(tool: str) -> Json:
    """A whole call of a tool about the denied DAG."""
    entry = CATALOG.tools[tool].entry
    needed = {"dag_id"} | {use.name for use in entry.params if use.required}
    if entry.any_of and not needed & {*entry.any_of}:
        known = [name for name in ("dag_run_id", "uri") if name in entry.any_of]
        needed.add((known or entry.any_of)[0])
    schemas = {use.name: CATALOG.parameters[use.table].json_schema for use in entry.params if use.name in needed}
    return {name: LEAK[name] if name in LEAK else a_value(schema) for name, schema in schemas.items()}


@pytest.mark.parametrize("tool", NAMING_A_DAG)
def test_a_tool_told_a_denied_dag_is_refused_naming_the_rule_and_asks_airflow_nothing_about_it(
    site: Site, tool: str
) -> None:
    site.ended("leaking", "leak-1")
    before = requests_so_far(site)
    assert WORDS in restricted(site).refusal(tool, **about_leaking(tool))
    assert [line for line in requests_so_far(site)[len(before) :] if "leak" in line] == []


def test_a_name_near_a_denied_dag_is_not_completed(site: Site) -> None:
    assert "leaking" in site.reader.refusal("get_dag", dag_id="leakin_")
    assert "leaking" not in restricted(site).refusal("get_dag", dag_id="leakin_")


@pytest.mark.parametrize("dag_id", ["doubtful_a", "ok"])
def test_a_source_file_that_also_defines_a_denied_dag_is_refused(site: Site, dag_id: str) -> None:
    assert restricted(site).ask("get_dag", dag_id=dag_id)["dag_id"] == dag_id
    assert "is not allowed here" in restricted(site).refusal("get_dag_source", dag_id=dag_id)
    assert "is_paused_upon_creation" in site.reader.ask("get_dag_source", dag_id=dag_id)["content"]


def test_a_source_file_without_a_denied_dag_is_shown(site: Site) -> None:
    content = restricted(site).ask("get_dag_source", dag_id="still")["content"]
    assert content == site.reader.ask("get_dag_source", dag_id="still")["content"]


def test_an_import_error_is_shown_only_where_an_allowed_dag_is_in_its_file(site: Site) -> None:
    ids = {row["filename"].rpartition("/")[2]: row["import_error_id"] for row in site.reader.rows("list_import_errors")}
    assert len(ids) == 4
    (row,) = restricted(site).rows("list_import_errors")
    assert row["filename"].endswith("half_broken.py")
    shown = restricted(site).ask("get_import_error", import_error_id=ids.pop("half_broken.py"))
    assert "this half is broken" in shown["stack_trace"]
    for error_id in ids.values():
        assert "is not allowed here" in restricted(site).refusal("get_import_error", import_error_id=error_id)


def test_the_import_error_of_a_denied_dags_file_is_hidden(site: Site) -> None:
    (row,) = [row for row in site.reader.rows("list_import_errors") if row["filename"].endswith("half_broken.py")]
    talker = site.ruled("half", '[[policy.deny]]\ntools = ["*"]\ndags = ["sound_half"]\n')
    assert talker.rows("list_import_errors") == []
    assert "is not allowed here" in talker.refusal("get_import_error", import_error_id=row["import_error_id"])


def test_a_change_is_allowed_for_the_dags_of_its_rule_and_for_no_others(site: Site) -> None:
    rules = '[[policy.allow]]\ntools = ["trigger_dag_run", "clear_*"]\ndags = ["stil?"]\nconfirm = "never"\n'
    talker = site.ruled("narrow", rules)
    assert talker.ask("trigger_dag_run", dag_id="still", dag_run_id="narrow")["state"] == "queued"
    words = talker.refusal("trigger_dag_run", dag_id="params", dag_run_id="narrow")
    assert "allowed only by allow rule 1 (" in words
    assert site.rest("GET", "/dags/params/dagRuns/narrow")[0] == 404
    words = talker.refusal("clear_task_instances", dag_id="~", start_date="2020-01-01T00:00:00Z", dry_run=False)
    assert "this call reaches further" in words


def test_a_rule_about_the_dags_of_a_change_hides_nothing_from_reads(site: Site) -> None:
    """Reads need no rule, and nothing is denied here."""
    talker = site.ruled("one-dag", '[[policy.allow]]\ntools = ["trigger_dag_run"]\ndags = ["still"]\n')
    assert talker.ask("list_dags") == site.reader.ask("list_dags")
    seen, held = ({row["filename"] for row in one.rows("list_import_errors")} for one in (talker, site.reader))
    assert seen == held  # their moments and order change while Airflow parses the files again


def test_a_triggered_run_is_written_down_before_and_after_and_its_note_names_the_caller(
    site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    talker = site.talker(f"audited-{tmp_path.name}", allow="trigger_dag_run", audit=str(file))
    conf = {"password": CANARY, "loaves": 3}
    made = talker.ask("trigger_dag_run", dag_id="params", dag_run_id="audited", conf=conf)
    begins, ends = (json.loads(line) for line in file.read_text().splitlines())
    assert (begins["phase"], ends["phase"]) == ("begins", "ends")
    facts: Json = {
        "caller": "local",
        "instance": "default",
        "tool": "trigger_dag_run",
        "class": "write",
        "arguments": {"dag_id": "params", "dag_run_id": "audited", "conf": {"password": "***", "loaves": 3}},
        "decision": "allowed",
        "rule": "AIRFLOW_MCP_ALLOW",
    }
    for line in (begins, ends):
        assert {name: line[name] for name in facts} == facts
    assert "status" not in begins, "nothing was sent yet"
    assert ends["status"] == 200
    assert made["note"] == site.held("/dags/params/dagRuns/audited")["note"] == SIGNED
    assert site.held("/dags/params/dagRuns/audited")["conf"] == conf


def test_refusals_reads_and_previews_are_written_down_too(site: Site, tmp_path: Path) -> None:
    run = new_run(site, "watched")
    file = tmp_path / "audit.jsonl"
    talker = site.talker(f"watched-{tmp_path.name}", allow="delete_dag_run", audit=str(file))
    talker.ask("get_dag_run", **run)
    talker.refusal("trigger_dag_run", **run)
    talker.planned("delete_dag_run", **run)
    talker.ask("delete_dag_run", **run)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["tool"], line["phase"], line["decision"]) for line in lines] == [
        ("get_dag_run", "ends", "allowed"),
        ("trigger_dag_run", "ends", "refused"),
        ("delete_dag_run", "ends", "previewed"),
        ("delete_dag_run", "ends", "previewed"),
        ("delete_dag_run", "begins", "allowed"),
        ("delete_dag_run", "ends", "allowed"),
    ]
    assert "AIRFLOW_MCP_ALLOW" in lines[1]["error"]
    assert lines[-1]["plan"] == lines[-2]["plan"] == lines[-3]["plan"] != lines[2]["plan"]
    assert lines[-1]["status"] in (200, 204)
    assert "dag_run_id=watched" in lines[-1]["targets"]


def test_the_command_policy_explain_says_the_verdict_and_the_rule(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    environment = site.environment(config=str(file))
    done = run_command(environment, "policy", "explain", "trigger_dag_run", "--dag", "leaking")
    assert (done.returncode, done.stderr) == (1, "")
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["verdict"] == "denied"
    assert said["rule"] == "deny rule 1 (rules.toml, line 6)"
    assert WORDS in said["change"]
    assert WORDS in restricted(site).refusal("trigger_dag_run", dag_id="leaking")
    done = run_command(environment, "policy", "explain", "trigger_dag_run", "--dag", "still")
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert (said["verdict"], said["rule"]) == ("allowed", "allow rule 1 (rules.toml, line 2)")


def test_the_command_policy_check_lists_the_rules_or_names_the_line_that_is_wrong(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    done = run_command(site.environment(), "policy", "check", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    rule = "deny rule 1 (rules.toml, line 6)  tools *; dags leaking, a.b-*, doubtful_b"
    assert rule in lines
    denied = lines[lines.index(rule) + 1]
    assert "get_dag_source" in denied
    assert "list_pools" not in denied, "it touches no DAG"
    file.write_text(RULES.replace("dags =", "dag ="))
    done = run_command(site.environment(), "policy", "check", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 8" in done.stderr
