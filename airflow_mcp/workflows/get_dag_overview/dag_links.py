"""What stands before and after a DAG: the assets it waits for or writes, and the DAGs its tasks trigger or wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from airflow_mcp.catalog.grammar import Json

# Operators that name another DAG, and the template field that holds its id (apache-airflow-providers-standard).
TRIGGERS = {"TriggerDagRunOperator": "trigger_dag_id"}
SENSORS = {"ExternalTaskSensor": "external_dag_id", "ExternalTaskSensorAsync": "external_dag_id"}


def describe_expression(expression: Any) -> str:
    """An asset expression in words: "(a AND b) OR c". 2.x has URIs as leaves, 3.x objects."""
    text = _describe_part(expression)
    return text[1:-1] if text.startswith("(") and _is_one_group(text) else text


def _describe_part(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    for key, word in (("any", " OR "), ("all", " AND ")):
        if key in part:
            items = [_describe_part(item) for item in part[key]]
            return items[0] if len(items) == 1 else f"({word.join(items)})"
    kind, leaf = next(iter(part.items()), ("", ""))
    name = (leaf.get("name") or leaf.get("uri")) if isinstance(leaf, dict) else leaf
    return str(name) if kind in ("asset", "asset_ref") else f"{kind} {name}"


def _is_one_group(text: str) -> bool:
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return place == len(text) - 1
    return False


def read_operator(task: Json) -> str:
    """The class of a task's operator: `operator_name` may be a nickname such as @task."""
    return str((task.get("class_ref") or {}).get("class_name") or task.get("operator_name"))


def select_linking_tasks(tasks: Iterable[Json]) -> list[Json]:
    """The tasks that trigger another DAG or wait for one."""
    return [task for task in tasks if read_operator(task) in TRIGGERS | SENSORS]


def find_asset_links(dag_id: str, assets: list[Json], may_see: Callable[[str], bool]) -> tuple[list[Json], list[Json]]:
    """Assets before and after the DAG, each with the other DAGs that write or wait for it and may be shown."""
    before: list[Json] = []
    after: list[Json] = []

    def dags(references: list[Json] | None) -> tuple[set[str], list[str]]:
        every = {reference["dag_id"] for reference in references or []}
        return every, sorted(other for other in every - {dag_id} if may_see(other))

    for asset in assets:
        name = asset.get("name") or asset.get("uri")
        writers, written_by = dags(asset.get("producing_tasks"))
        scheduled, starts = dags(asset.get("scheduled_dags"))
        readers, read_by = dags(asset.get("consuming_tasks"))
        if dag_id in scheduled | readers:
            reads = None if dag_id in scheduled else True
            before.append({"asset": name, "written_by": written_by, "read_only_by_tasks": reads})
        if dag_id in writers:
            only_read = [other for other in read_by if other not in starts]
            after.append({"asset": name, "starts": starts, "read_by": only_read})
    return _remove_empty(before), _remove_empty(after)


def find_dag_links(
    details: dict[str, Json], tasks: list[Json], may_see: Callable[[str], bool]
) -> tuple[list[Json], list[Json], list[str]]:
    """DAGs that tasks wait for, DAGs that tasks trigger, and the tasks of which it is not known.

    `details` has a task instance by task id: its rendered template fields name the other DAG, once it ran.
    """
    before: list[Json] = []
    after: list[Json] = []
    unknown: list[str] = []
    for task in select_linking_tasks(tasks):
        operator, task_id = read_operator(task), task["task_id"]
        field = (TRIGGERS | SENSORS)[operator]
        other = ((details.get(task_id) or {}).get("rendered_fields") or {}).get(field)
        if not isinstance(other, str):
            unknown.append(task_id)
        elif may_see(other):
            (after if operator in TRIGGERS else before).append({"dag": other, "by_task": task_id})
    return before, after, unknown


def _remove_empty(links: list[Json]) -> list[Json]:
    return [{key: value for key, value in link.items() if value} for link in links]
