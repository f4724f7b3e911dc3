"""Workflows: tools that need several operations, one file or folder per tool, named like the tool."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from airflow_mcp.dispatch.workflow_context import Workflow


@cache
def load_workflows() -> Mapping[str, Workflow]:
    """Return every workflow by its tool's name; the modules are imported when the first workflow is called."""
    from airflow_mcp.workflows import (
        answer_hitl_detail,
        diagnose_dag_run,
        explain_permission,
        find_tools,
        get_dag_overview,
        health_report,
        plan_recovery,
        read_task_log,
        resolve_url,
        trigger_and_wait,
        trigger_dag_run,
        wait_for_backfill,
        wait_for_dag_run,
        why_not_running,
    )

    return {
        "answer_hitl_detail": Workflow(answer_hitl_detail.run),
        "diagnose_dag_run": Workflow(diagnose_dag_run.run),
        "explain_permission": Workflow(explain_permission.run),
        "find_tools": Workflow(find_tools.run),
        "get_dag_overview": Workflow(get_dag_overview.run),
        "health_report": Workflow(health_report.run),
        "plan_recovery": Workflow(plan_recovery.run, plan_recovery.targets, plan_recovery.preview),
        "read_task_log": Workflow(read_task_log.run),
        "resolve_url": Workflow(resolve_url.run),
        "trigger_and_wait": Workflow(trigger_and_wait.run),
        "trigger_dag_run": Workflow(trigger_dag_run.run),
        "wait_for_backfill": Workflow(wait_for_backfill.run),
        "wait_for_dag_run": Workflow(wait_for_dag_run.run),
        "why_not_running": Workflow(why_not_running.run),
    }
