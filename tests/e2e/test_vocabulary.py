"""One vocabulary: the same question to Airflow 3 and to Airflow 2 is answered with the same keys and the same data."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.versions import Version

from .harness import Json, Site

TOOLS = load_catalog().tools
RUN: Json = {"dag_id": "mapped", "dag_run_id": "map-1"}
CRATE: Json = RUN | {"task_id": "load", "map_index": 3}
PRODUCED: Json = {"dag_id": "ok", "dag_run_id": "ok-1", "task_id": "produce"}

# Tool, arguments, and the keys or columns that only 3.x and only 2.x have. Everything else must be in both.
QUESTIONS: list[tuple[str, Json, set[str], set[str]]] = [
    ("list_dags", {}, set(), set()),
    ("get_dag", {"dag_id": "ok"}, set(), set()),
    ("get_dag_details", {"dag_id": "ok"}, {"dag_version"}, set()),
    ("get_dag_source", {"dag_id": "ok"}, {"version_number"}, set()),
    ("list_tasks", {"dag_id": "mapped"}, set(), set()),
    ("list_dag_warnings", {}, set(), set()),
    ("list_dag_runs", {"dag_id": "ok"}, {"run_after"}, {"logical_date"}),
    (
        "get_dag_run",
        {"dag_id": "ok", "dag_run_id": "ok-1"},
        {"run_after", "queued_at", "triggering_user_name", "dag_version"},
        {"logical_date"},
    ),
    ("wait_for_dag_run", RUN, set(), set()),
    ("list_task_instances", RUN, set(), set()),
    ("get_task_instance", CRATE, {"rendered_map_index"}, set()),
    ("list_task_instance_tries", CRATE, set(), set()),
    ("read_task_log", CRATE | {"max_chars": 100_000}, set(), set()),
    ("list_xcoms", PRODUCED, set(), {"logical_date"}),
    ("get_xcom", PRODUCED | {"xcom_key": "return_value"}, set(), {"logical_date"}),
    ("list_event_logs", {}, set(), set()),
    ("list_import_errors", {}, {"bundle_name"}, set()),
    ("list_pools", {}, set(), set()),
    ("get_pool", {"pool_name": "default_pool"}, set(), set()),
    ("get_health", {}, set(), set()),
    ("get_version", {}, set(), set()),
    ("list_providers", {}, set(), set()),
    ("explain_permission", {"tool": "delete_dag", "arguments": {"dag_id": "ok"}}, set(), set()),
]


def keys(answer: Json) -> set[str]:
    """The columns of a list, or the keys of a record."""
    return set(answer["columns"]) if "columns" in answer else set(answer)


@pytest.mark.parametrize(("tool", "arguments", "only_new", "only_old"), QUESTIONS, ids=[tool for tool, *_ in QUESTIONS])
def test_the_same_question_has_the_same_keys_on_both_generations(
    sites: dict[str, Site], tool: str, arguments: Json, only_new: set[str], only_old: set[str]
) -> None:
    for site in sites.values():
        site.all_ended()
    new, old = (keys(site.reader.ask(tool, **arguments)) for site in sites.values())
    assert (new - old, old - new) == (only_new, only_old)
    assert new & old


def answers(sites: dict[str, Site], tool: str, arguments: Json) -> tuple[Any, Any]:
    """What 3.x and 2.x say."""
    for site in sites.values():
        site.all_ended()
    new, old = (site.reader.ask(tool, **arguments) for site in sites.values())
    return new, old


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("wait_for_dag_run", RUN),
        ("get_pool", {"pool_name": "default_pool"}),
        ("list_pools", {}),
        ("list_tasks", {"dag_id": "mapped", "fields": []}),
    ],
)
def test_what_both_hold_alike_is_answered_alike(sites: dict[str, Site], tool: str, arguments: Json) -> None:
    new, old = answers(sites, tool, arguments)
    assert without_operators(new) == without_operators(old)


def without_operators(answer: Json) -> Json:
    """A decorated task's operator is "@task" in 3.x and a class of Airflow's in 2.x."""
    if "operator_name" not in answer.get("columns", ()):
        return answer
    at = answer["columns"].index("operator_name")
    return answer | {"rows": [[*row[:at], *row[at + 1 :]] for row in answer["rows"]]}


def test_the_states_of_a_run_are_the_same_rows(sites: dict[str, Site]) -> None:
    for site in sites.values():
        site.all_ended()
    new, old = (
        {(row["task_id"], row["map_index"], row["state"], row["try_number"]) for row in rows}
        for rows in (site.reader.rows("list_task_instances", **RUN) for site in sites.values())
    )
    assert new == old


def test_an_xcom_has_the_same_value_and_the_same_type(sites: dict[str, Site]) -> None:
    for key in ("return_value", "loaves/rye"):
        new, old = answers(sites, "get_xcom", PRODUCED | {"xcom_key": key})
        assert new["value"] == old["value"]


def test_the_error_of_a_log_is_the_same_exception_and_cause(sites: dict[str, Site]) -> None:
    new, old = answers(sites, "read_task_log", CRATE)
    words = [
        [line for line in answer["error"].splitlines() if not line.startswith(("  at ", "logged as"))]
        for answer in (new, old)
    ]
    assert words[0] == words[1] == ["RuntimeError: cannot load crate 3", "caused by ValueError: crate 3 weighs -40 kg"]


def test_a_moment_is_written_in_one_way(sites: dict[str, Site]) -> None:
    new, old = answers(sites, "get_dag_run", {"dag_id": "ok", "dag_run_id": "ok-1"})
    for answer in (new, old):
        for name in ("start_date", "end_date"):
            assert answer[name].endswith("Z")


def test_both_offer_the_same_arguments_but_for_those_only_3_has(sites: dict[str, Site]) -> None:
    new, old = (site.admin.schemas() for site in sites.values())
    had = [{name for name, tool in TOOLS.items() if tool.entry.since.has(Version.parse(version))} for version in sites]
    assert set(old) < set(new)
    assert set(new) - set(old) == had[0] - had[1]
    assert {name: more for name, names in old.items() if (more := names - new[name])} == {}
