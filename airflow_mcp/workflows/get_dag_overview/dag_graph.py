"""Describe a DAG's tasks as a graph: in an order in which they can run, or its shape where that is too long."""

from __future__ import annotations

from collections import Counter
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps, take_fitting

_USUAL_RULE, _USUAL_POOL = "all_success", "default_pool"
_MOST_NAMES = 8  # roots, leaves and operators that are named in the shape
_FRAME = 80  # characters of columns and brackets


def describe_tasks(tasks: list[Json], budget: int) -> tuple[Json, int]:
    """Describe the tasks (records of `list_tasks`) within `budget` characters, and count those left out.

    Each task is a row where all of them fit; else the graph's shape comes before the first rows.
    """
    ordered_tasks, levels = sort_tasks(tasks)
    part: Json = {"total": len(tasks), "levels": levels}
    rows = [_build_row(task) for task in ordered_tasks]
    if len(dumps(rows)) > budget - _FRAME:
        part |= _describe_shape(ordered_tasks)
    head = take_fitting(rows, budget - _FRAME - len(dumps(part)))
    return {**part, "columns": ["task_id", "operator", "downstream", "special"], "rows": head}, len(rows) - len(head)


def sort_tasks(tasks: list[Json]) -> tuple[list[Json], int]:
    """Sort each task after all those it waits for, else as Airflow gave them, and count the longest path's tasks."""
    by_id = {task["task_id"]: task for task in tasks}
    downstream = {
        name: [successor for successor in task.get("downstream_task_ids") or [] if successor in by_id]
        for name, task in by_id.items()
    }
    upstream_counts = Counter(successor for ends in downstream.values() for successor in ends)
    level = [name for name in by_id if not upstream_counts[name]]
    ordered_tasks: list[Json] = []
    levels = 0
    while level:
        levels += 1
        next_level: list[str] = []
        for name in level:
            ordered_tasks.append(by_id[name])
            for successor in downstream[name]:
                upstream_counts[successor] -= 1
                if not upstream_counts[successor]:
                    next_level.append(successor)
        level = next_level
    return ordered_tasks, levels


def _describe_shape(ordered: list[Json]) -> Json:
    downstream_ids = {to for task in ordered for to in task.get("downstream_task_ids") or []}
    roots = [task["task_id"] for task in ordered if task["task_id"] not in downstream_ids]
    leaves = [task["task_id"] for task in ordered if not task.get("downstream_task_ids")]
    operators = Counter(_name_operator(task) for task in ordered)
    return {
        "mapped": sum(bool(task.get("is_mapped")) for task in ordered),
        "roots": _first_names(roots),
        "leaves": _first_names(leaves),
        "operators": dict(operators.most_common(_MOST_NAMES)),
    }


def _first_names(names: list[str]) -> list[str]:
    return names if len(names) <= _MOST_NAMES else [*names[:_MOST_NAMES], f"and {len(names) - _MOST_NAMES} more"]


def _build_row(task: Json) -> list[Any]:
    """Build the row of a task: [id, operator, ids after it, what is special about it]."""
    rule, pool, retries = task.get("trigger_rule"), task.get("pool"), task.get("retries")
    special = {
        "mapped": task.get("is_mapped"),
        str(rule): rule not in (None, _USUAL_RULE),
        f"pool {pool}": pool not in (None, _USUAL_POOL),
        f"{retries} retries": retries,
    }
    notes = ", ".join(word for word, holds in special.items() if holds)
    return [task["task_id"], _name_operator(task), task.get("downstream_task_ids") or [], notes or None]


def _name_operator(task: Json) -> str:
    """Return the operator's name; for @task 2.x gives the class behind it."""
    name = str(task.get("operator_name"))
    return "@task" if name == "_PythonDecoratedOperator" else name
