"""The rows of the matrix: the core of the live table, and what an old version answers otherwise."""

from __future__ import annotations

from tests.e2e import test_every_tool as every
from tests.e2e import test_live_batches as batches
from tests.e2e.harness import OK_RUNS, Row, Site

CORE = (
    *("get_version", "get_health", "health_report"),
    *("list_dags", "get_dag", "get_dag_details", "get_dag_source", "get_dag_overview", "list_tasks"),
    *("list_dag_runs", "get_dag_run", "wait_for_dag_run", "list_task_instances", "get_task_instance"),
    *("read_task_log", "diagnose_dag_run", "why_not_running", "resolve_url"),
    *("list_xcoms", "get_xcom", "list_event_logs", "list_assets", "list_asset_events", "list_pools", "get_pool"),
    *("list_variables", "get_variable", "list_connections", "get_connection"),
    *("trigger_dag_run", "trigger_and_wait", "pause_dag", "unpause_dag", "set_dag_run_state"),
    *("set_task_instance_state", "clear_task_instances", "clear_dag_run", "delete_dag_run"),
    *("create_pool", "update_pool", "delete_pool"),
    *("create_variable", "update_variable", "delete_variable"),
    *("create_connection", "update_connection", "delete_connection"),
)
MORE: dict[str, Row] = {
    "list_dag_runs_of_several": batches.test_runs_of_several_dags_come_in_one_list,
    "tools_on_offer": every.test_whoever_may_use_everything_is_offered_what_this_airflow_has,
    "list_task_instances_of_several": batches.test_task_instances_of_several_dags_runs_and_tasks_come_in_one_list,
}


def list_event_logs_whole(site: Site) -> None:
    """Airflow 2.7 has no filters for them; asked for one, it says so."""
    words = site.admin.refusal("list_event_logs", dag_id="ok")
    assert "dag_id needs Airflow 2.8 or newer; this is Airflow 2.7" in words
    logs = site.admin.rows("list_event_logs", limit=100)
    started = [row for row in logs if (row["dag_id"], row["event"]) == ("ok", "dag_run.create")]
    assert len(started) >= len(OK_RUNS)


OTHERWISE: dict[tuple[str, str], Row] = {
    ("2.7.3", "list_event_logs"): list_event_logs_whole,
}
ROWS = {name: every.TABLE[name] for name in CORE} | MORE


def row_of(version: str, name: str) -> Row:
    """What is done for this row on that Airflow."""
    return OTHERWISE.get((version, name)) or (ROWS | every.TABLE)[name]
