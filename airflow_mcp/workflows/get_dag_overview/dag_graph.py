"""A DAG's tasks as a graph: in the order in which they can run, or its shape where that is too long."""

from __future__ import annotations

from collections import Counter
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps, take_fitting

_USUAL_RULE, _USUAL_POOL = "all_success", "default_pool"
_MOST_NAMES = 8  # roots, leaves and operators that are named in the shape
_FRAME = 80  # characters of columns and brackets


def describe_tasks(tasks: list[Json], budget: int) -> tuple[Json, int]:
    """The tasks (records of `list_tasks`) within `budget` characters, and how many are left out.

    Every task as a row where they fit; else the graph's shape, and the first rows.
    """
    ordered, levels = sort_tasks(tasks)
    part: Json = {"total": len(tasks), "levels": levels}
    rows = [_build_row(task) for task in ordered]
    if len(dumps(rows)) > budget - _FRAME:
        part |= _describe_shape(ordered)
    kept = take_fitting(rows, budget - _FRAME - len(dumps(part)))
    return {**part, "columns": ["task_id", "operator", "downstream", "special"], "rows": kept}, len(rows) - len(kept)


def sort_tasks(tasks: list[Json]) -> tuple[list[Json], int]:
    """Each task after all those it waits for, else as Airflow gave them; and how many tasks the longest way has."""
    by_id = {task["task_id"]: task for task in tasks}
    after = {name: [to for to in task.get("downstream_task_ids") or [] if to in by_id] for name, task in by_id.items()}
    waiting = Counter(to for ends in after.values() for to in ends)
    level = [name for name in by_id if not waiting[name]]
    ordered: list[Json] = []
    levels = 0
    while level:
        levels += 1
        following: list[str] = []
        for name in level:
            ordered.append(by_id[name])
            for to in after[name]:
                waiting[to] -= 1
                if not waiting[to]:
                    following.append(to)
        level = following
    return ordered, levels


def _describe_shape(ordered: list[Json]) -> Json:
    waited_for = {to for task in ordered for to in task.get("downstream_task_ids") or []}
    roots = [task["task_id"] for task in ordered if task["task_id"] not in waited_for]
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
    """One task as [id, operator, ids after it, what is special about it]."""
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
    """The operator's name; 2.x gives the class behind @task."""
    name = str(task.get("operator_name"))
    return "@task" if name == "_PythonDecoratedOperator" else name
