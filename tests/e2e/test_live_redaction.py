"""A secret in a run's conf, in XComs, in a state, in a log and in an exception is in no byte of any answer."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from airflow_mcp.catalog.loader import load_catalog

from .harness import CANARY, Json, Site
from .rows_states import holding
from .test_every_tool import can_succeed

RUN: Json = {"dag_id": "leaking", "dag_run_id": "leak-1"}
LEAK: Json = RUN | {"task_id": "leak"}
MASKED_CONF = {"password": "***", "nested": {"api_key": "***"}, "harmless": "cork"}
ALL: Json = {"fields": ["*"], "max_chars": 100_000}
CALLS: list[tuple[str, Json]] = [
    ("get_dag_run", RUN | ALL),
    ("list_dag_runs", {"dag_id": "leaking"} | ALL),
    ("list_dag_runs", {"dag_id": "~"} | ALL),
    ("wait_for_dag_run", RUN),
    ("list_task_instances", RUN | ALL),
    ("diagnose_dag_run", RUN | {"max_chars": 20_000}),
    ("why_not_running", RUN),
    ("get_task_instance", LEAK | ALL),
    ("list_task_instance_tries", LEAK | ALL),
    ("list_xcoms", LEAK | ALL),
    *[("get_xcom", LEAK | ALL | {"xcom_key": key}) for key in ("return_value", "password", "api_key", "plain", "deep")],
    ("read_task_log", LEAK | {"max_chars": 100_000}),
    ("read_task_log", RUN | {"task_id": "break_off", "max_chars": 100_000}),
    ("list_event_logs", {"dag_id": "leaking"} | ALL),
    ("get_task_instance_try", LEAK | ALL | {"try_number": 1}),
    ("get_external_log_url", LEAK | {"try_number": 1}),
    ("get_task_state", LEAK | ALL | {"state_key": "mark"}),
    ("list_task_states", LEAK | ALL),
    ("list_task_dependencies", LEAK | ALL),
    ("list_extra_links", LEAK | ALL),
    ("list_mapped_task_instances", LEAK | ALL),
    ("list_upstream_asset_events", RUN | ALL),
    ("list_hitl_details", RUN | ALL),
    ("get_hitl_detail", LEAK | ALL),
    ("get_hitl_detail_try", LEAK | ALL | {"try_number": 1}),
]
NOT_THERE = {
    "list_mapped_task_instances": "the task is not mapped: test_live_canaries asks for one that is",
    "get_hitl_detail": "the DAG asks nobody: test_live_canaries asks for a question with secrets in it",
    "get_hitl_detail_try": "the same",
}
"""Tools whose calls are refused here, and why."""


def test_airflow_itself_shows_the_secret_in_the_conf_and_in_xcoms(site: Site) -> None:
    """Else the tests below would prove nothing."""
    site.ended("leaking", "leak-1")
    path = "/dags/leaking/dagRuns/leak-1"
    assert site.held(path)["conf"]["password"] == CANARY
    assert CANARY in str(site.held(f"{path}/taskInstances/leak/xcomEntries/plain")["value"])
    assert CANARY in str(site.held(f"{path}/taskInstances/leak/xcomEntries/return_value")["value"])


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
def test_no_answer_holds_the_secret(site: Site, tool: str, arguments: Json) -> None:
    site.ended("leaking", "leak-1")
    path = "/dags/leaking/dagRuns/leak-1/taskInstances/leak/state-store"
    with ExitStack() as undo:
        if "state" in tool and not site.is_old:
            undo.enter_context(holding(site, path, mark={"api_key": CANARY}, api_token=CANARY))
        result = site.admin.result(tool, arguments)
    assert result.is_error == (tool in NOT_THERE or not can_succeed(site, tool))
    assert CANARY not in result.model_dump_json()


def test_every_tool_that_reads_of_a_run_was_asked() -> None:
    of_a_run = {
        name
        for name, tool in load_catalog().tools.items()
        if tool.entry.access == "read" and any(use.name == "dag_run_id" for use in tool.entry.params)
    }
    assert of_a_run - {tool for tool, _ in CALLS} == set()


def test_the_masked_conf_keeps_its_shape_and_what_is_harmless(site: Site) -> None:
    site.ended("leaking", "leak-1")
    assert site.admin.ask("get_dag_run", **RUN)["conf"] == MASKED_CONF


def test_the_secret_part_of_an_address_is_masked_and_the_rest_stays(site: Site) -> None:
    site.ended("leaking", "leak-1")
    value = site.admin.ask("get_xcom", **LEAK, xcom_key="plain")["value"]
    assert value == "connect with postgresql://cellar:***@db.example.invalid/wine"
    log = site.admin.ask("read_task_log", **LEAK)
    assert "connecting to postgresql://cellar:***@db.example.invalid/wine" in log["tail"]
    log = site.admin.ask("read_task_log", **RUN, task_id="break_off")
    assert log["error"].startswith("ConnectionError: no route to https://cellar:***@db.example.invalid")


def test_neither_the_answer_to_a_trigger_nor_a_refusal_holds_the_secret_of_its_conf(site: Site) -> None:
    conf = {"password": CANARY, "loaves": 3}
    answer = site.admin.result("trigger_dag_run", {"dag_id": "params", "dag_run_id": "secret", "conf": conf})
    assert not answer.is_error
    assert CANARY not in answer.model_dump_json()
    assert site.held("/dags/params/dagRuns/secret")["conf"] == conf
    again = site.admin.result("trigger_dag_run", {"dag_id": "params", "dag_run_id": "secret", "conf": conf})
    assert again.is_error
    assert CANARY not in again.model_dump_json()


def test_whom_the_operator_shows_secrets_sees_the_conf_as_it_is(site: Site) -> None:
    site.ended("leaking", "leak-1")
    conf = site.revealing.ask("get_dag_run", **RUN)["conf"]
    assert conf == {"password": CANARY, "nested": {"api_key": f"{CANARY}-2"}, "harmless": "cork"}
    assert site.revealing.ask("get_xcom", **LEAK, xcom_key="api_key")["value"] == CANARY


def test_a_server_writes_no_secret_to_its_stderr(site: Site) -> None:
    site.ended("leaking", "leak-1")
    site.admin.ask("get_dag_run", **RUN)
    site.admin.refusal("trigger_dag_run", **RUN, conf={"password": CANARY})
    assert CANARY not in site.admin.stderr
    assert site.airflow.password not in site.admin.stderr
