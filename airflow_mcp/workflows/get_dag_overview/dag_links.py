"""Find a DAG's links: the assets that it waits for or writes, and the DAGs that its tasks trigger or wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from airflow_mcp.catalog.grammar import Json

# Operators that name another DAG, and the template field that holds its id (apache-airflow-providers-standard).
TRIGGERS = {"TriggerDagRunOperator": "trigger_dag_id"}
SENSORS = {"ExternalTaskSensor": "external_dag_id", "ExternalTaskSensorAsync": "external_dag_id"}


def describe_expression(expression: Any) -> str:
    """Describe an asset expression, "(a AND b) OR c". 2.x has URIs as leaves, 3.x objects."""
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
    """Return the class of a task's operator: `operator_name` may be a nickname such as @task."""
    return str((task.get("class_ref") or {}).get("class_name") or task.get("operator_name"))


def select_linking_tasks(tasks: Iterable[Json]) -> list[Json]:
    """Select the tasks that trigger another DAG or wait for one."""
    return [task for task in tasks if read_operator(task) in TRIGGERS | SENSORS]


def find_asset_links(dag_id: str, assets: list[Json], may_see: Callable[[str], bool]) -> tuple[list[Json], list[Json]]:
    """Find the assets before and after the DAG, each with the other visible DAGs that write it or wait for it."""
    upstream_links: list[Json] = []
    downstream_links: list[Json] = []

    def dags(references: list[Json] | None) -> tuple[set[str], list[str]]:
        dag_ids = {reference["dag_id"] for reference in references or []}
        return dag_ids, sorted(linked_dag for linked_dag in dag_ids - {dag_id} if may_see(linked_dag))

    for asset in assets:
        name = asset.get("name") or asset.get("uri")
        writer_ids, writing_dags = dags(asset.get("producing_tasks"))
        scheduled_dag_ids, started_dags = dags(asset.get("scheduled_dags"))
        reader_ids, reading_dags = dags(asset.get("consuming_tasks"))
        if dag_id in scheduled_dag_ids | reader_ids:
            reads = None if dag_id in scheduled_dag_ids else True
            upstream_links.append({"asset": name, "written_by": writing_dags, "read_only_by_tasks": reads})
        if dag_id in writer_ids:
            only_reading_dags = [linked_dag for linked_dag in reading_dags if linked_dag not in started_dags]
            downstream_links.append({"asset": name, "starts": started_dags, "read_by": only_reading_dags})
    return _remove_empty(upstream_links), _remove_empty(downstream_links)


def find_dag_links(
    details: dict[str, Json], tasks: list[Json], may_see: Callable[[str], bool]
) -> tuple[list[Json], list[Json], list[str]]:
    """Find the DAGs that tasks wait for, the DAGs that tasks trigger, and the tasks whose other DAG is not known.

    `details` has a task instance by task id: its rendered template fields name the other DAG, once it ran.
    """
    upstream_links: list[Json] = []
    downstream_links: list[Json] = []
    unknown_task_ids: list[str] = []
    for task in select_linking_tasks(tasks):
        operator, task_id = read_operator(task), task["task_id"]
        field = (TRIGGERS | SENSORS)[operator]
        linked_dag_id = ((details.get(task_id) or {}).get("rendered_fields") or {}).get(field)
        if not isinstance(linked_dag_id, str):
            unknown_task_ids.append(task_id)
        elif may_see(linked_dag_id):
            (downstream_links if operator in TRIGGERS else upstream_links).append(
                {"dag": linked_dag_id, "by_task": task_id}
            )
    return upstream_links, downstream_links, unknown_task_ids


def _remove_empty(links: list[Json]) -> list[Json]:
    return [{key: value for key, value in link.items() if value} for link in links]
