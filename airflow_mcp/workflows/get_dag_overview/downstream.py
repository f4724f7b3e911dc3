"""Follow what runs because of a DAG beyond the next one: over assets that DAGs write, and DAGs that tasks trigger.

The walk is bounded. The assets of all DAGs of one hop take one request. The DAGs that one DAG's tasks trigger take one
request for its tasks, and where some do trigger a DAG, one for the latest run and one for each of these tasks. Notes
name what was left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.gather import gather, list_errors
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.text import join_names
from airflow_mcp.workflows.get_dag_overview.dag_links import TRIGGERS, find_asset_links, find_dag_links, read_operator

_MOST_HOPS = 5  # from DAG to DAG, the first one included
_MOST_REQUESTS = 10  # beyond those about the DAG itself
_POINTERS = 2  # task instances of one DAG that are read to learn which DAG they trigger
_NAMED = 5
_FILTERS_DATASETS = (2, 9)


@dataclass
class Downstream:
    """The links found so far, each with the DAG it starts `from`, and notes on what was not followed."""

    context: WorkflowContext
    assets: list[Json] | None  # every DAG's, where Airflow cannot filter them: no request is needed then
    links: list[Json] = field(default_factory=list[Json])
    notes: list[str] = field(default_factory=list[str])
    requests: int = 0
    _unread: list[str] = field(default_factory=list[str])  # DAGs whose triggers were not looked for
    _unknown: list[str] = field(default_factory=list[str])  # tasks that trigger a DAG which no run names

    async def follow(self, dag_id: str, first: Iterable[Json]) -> None:
        """Follow the links of the DAG itself, hop by hop."""
        visited = {dag_id}
        frontier = read_targets(first) - visited
        for _ in range(_MOST_HOPS - 1):
            if not frontier:
                break
            visited |= frontier
            links = await self._read_links(sorted(frontier))
            if links is None:
                break
            self.links += links
            frontier = read_targets(links) - visited
        if frontier:
            self.notes.append(f"Downstream of {_names(frontier)}: not followed any further.")
        if self._unread:
            self.notes.append(f"Which DAGs the tasks of {_names(self._unread)} trigger: not looked at.")
        if self._unknown:
            self.notes.append(f"Which DAG {_names(self._unknown)} triggers: no run tells yet.")

    async def _read_links(self, dag_ids: list[str]) -> list[Json] | None:
        """Read the links that start from these DAGs; None where no request remains for their assets."""
        assets = self.assets
        if assets is None:
            if not self._take():
                return None
            assets = await self._assets(dag_ids)
        links: list[Json] = []
        for dag_id in dag_ids:
            _, asset_links = find_asset_links(dag_id, assets, self.context.may_see)
            links += [{"from": dag_id, **link} for link in asset_links]
        return links + await self._triggers(dag_ids)

    async def _assets(self, dag_ids: list[str]) -> list[Json]:
        name = "find_assets" if self.context.version.generation == "v2" else "find_datasets"
        results = await gather(assets=self.context.read_rows(name, dag_ids=dag_ids))
        self.notes += [f"Assets of {_names(dag_ids)}: {reason}" for reason in results.errors.values()]
        rows, total = results.get("assets", ([], 0))
        if self.context.version.generation == "v2" and total > len(rows):  # 2.x counts those of every DAG
            self.notes.append(f"Assets of {_names(dag_ids)}: only {len(rows)} of {total} were looked at.")
        return rows

    async def _triggers(self, dag_ids: list[str]) -> list[Json]:
        """Read which DAGs the tasks of these DAGs trigger; one request is reserved for the assets of the next hop."""
        read_dag_ids = [dag_id for dag_id in dag_ids if self._take(keep=1)]
        results = await gather(
            **{dag_id: self.context.read_rows("list_tasks", dag_id=dag_id) for dag_id in read_dag_ids}
        )
        self._unread += [dag_id for dag_id in dag_ids if dag_id not in read_dag_ids]
        self.notes += [f"Tasks of {line}" for line in list_errors(results.errors)]
        links: list[Json] = []
        for dag_id, (tasks, _) in results.values.items():
            triggers = [task for task in tasks if read_operator(task) in TRIGGERS]
            if not triggers:
                continue
            instances = await self._instances(dag_id, triggers)
            if instances is None:
                self._unread.append(dag_id)
                continue
            _, trigger_links, unknown_tasks = find_dag_links(instances, triggers, self.context.may_see)
            links += [{"from": dag_id, **link} for link in trigger_links]
            self._unknown += [f"{dag_id}.{task_id}" for task_id in unknown_tasks]
        return links

    async def _instances(self, dag_id: str, tasks: list[Json]) -> dict[str, Json] | None:
        """Return, by task id, its instance in the latest run; None where too few requests remain."""
        if not self._take(1 + min(len(tasks), _POINTERS), keep=1):
            return None
        results = await gather(
            runs=self.context.read_rows("list_dag_runs", dag_id=dag_id, limit=1, state=["success", "failed"])
        )
        runs, _ = results.get("runs", ([], 0))
        if not runs:
            return {}
        return await read_instances(self.context, runs[0], tasks[:_POINTERS])

    def _take(self, requests: int = 1, *, keep: int = 0) -> bool:
        """Reserve so many requests where the limit allows them and `keep` more, and tell whether it does."""
        is_allowed = self.requests + requests + keep <= _MOST_REQUESTS
        self.requests += requests if is_allowed else 0
        return is_allowed


async def read_instances(context: WorkflowContext, dag_run: Json, tasks: list[Json]) -> dict[str, Json]:
    """Return, by task id, its instance in this run, of a mapped task the first; omit those that cannot be read."""
    ids = {"dag_id": dag_run["dag_id"], "dag_run_id": dag_run["dag_run_id"]}
    reads: dict[str, Any] = {}
    for task in {task["task_id"]: task for task in tasks}.values():
        index = {"map_index": 0} if task.get("is_mapped") else {}
        reads[task["task_id"]] = context.read_record("get_task_instance", **ids, task_id=task["task_id"], **index)
    return (await gather(**reads)).values


def filters_assets(context: WorkflowContext) -> bool:
    """Tell whether this Airflow can filter assets by DAG."""
    return context.version.generation == "v2" or context.version >= _FILTERS_DATASETS


def read_targets(links: Iterable[Json]) -> set[str]:
    """Return the DAGs that the links lead to."""
    dag_ids: set[str] = set()
    for link in links:
        dag_ids |= {*link.get("starts", ()), *link.get("read_by", ()), *([link["dag"]] if "dag" in link else ())}
    return dag_ids


def _names(ids: Iterable[str]) -> str:
    return join_names(sorted(ids), _NAMED)
