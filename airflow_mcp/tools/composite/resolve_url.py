"""What a link of Airflow's UI is about, as ids and the call to make; the link itself is read, never fetched."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.errors import AirflowMcpError, NotFoundError
from airflow_mcp.tools.inner import InnerDoor
from airflow_mcp.tools.next_calls import NextCall, next_call
from airflow_mcp.tools.operation.ui_links import Link, ids_of, zoned

_RUN_STATES = ("queued", "running", "success", "failed")
_AFTER_RUN = {"failed": "diagnose_dag_run", "queued": "why_not_running", "running": "wait_for_dag_run"}
_LISTS = {"dags": "list_dags", "dag_runs": "list_dag_runs", "task_instances": "list_task_instances"}
_TASK_PAGES = {
    "xcom": "list_xcoms",
    "details": "get_task_instance",
    "rendered_templates": "get_task_instance",
    "rendered-templates": "get_task_instance",
    "task": "get_task_instance",
}

_WHY = {
    "diagnose_dag_run": "says why it failed",
    "get_dag_overview": "shows the DAG at a glance",
    "get_dag_run": "shows the run",
    "get_dag_source": "shows its code",
    "get_task_instance": "shows the task instance",
    "list_dag_runs": "lists the runs",
    "list_dags": "lists the DAGs",
    "list_pools": "lists the pools",
    "list_task_instances": "lists the task instances",
    "list_xcoms": "lists its XComs",
    "read_task_log": "shows its log",
    "wait_for_dag_run": "waits until it ends",
    "why_not_running": "says what it waits for",
}


async def run(door: InnerDoor, arguments: Json) -> Json:
    """Ids, `state` where it was read, and `next`, in at most two requests. Raises InvalidArgumentsError."""
    link = ids_of(arguments["url"], door.url)
    ids = dict(link.ids)
    if "logical_date" in ids:
        ids["logical_date"] = zoned(ids["logical_date"])
    hints = [said] if (said := link.elsewhere(door.url)) else []
    try:
        ids |= await _look(door, ids)
    except AirflowMcpError as error:
        hints.append(f"The link names these ids, but looking them up failed: {error}")
    if "dag_run_id" in ids:
        ids.pop("logical_date", None)
    return {**ids, "next": _next(door, link, ids) or None, "hint": " ".join(hints) or None}


async def _look(door: InnerDoor, ids: Json) -> Json:
    """What one read adds: the run of a logical date, the state of a run, the DAGs of an asset."""
    if "asset_id" in ids or "asset_uri" in ids:
        return await _asset(door, ids)
    if "logical_date" in ids and "dag_id" in ids:
        moment = ids["logical_date"]
        rows, _ = await door.rows(
            "list_dag_runs", dag_id=ids["dag_id"], logical_date_gte=moment, logical_date_lte=moment, limit=1
        )
        if not rows:
            raise NotFoundError(f"no run of {ids['dag_id'][:120]!r} has this logical date.", 404)
        return {"dag_run_id": rows[0]["dag_run_id"], "state": rows[0].get("state")}
    if "dag_run_id" in ids and "dag_id" in ids and not {"task_id", "task_group_id"} & ids.keys():
        dag_run = await door.one("get_dag_run", dag_id=ids["dag_id"], dag_run_id=ids["dag_run_id"])
        return {"state": dag_run.get("state")}
    return {}


async def _asset(door: InnerDoor, ids: Json) -> Json:
    if "asset_id" not in ids:
        uri = ids["asset_uri"]
        rows, _ = await door.rows("list_assets", uri_pattern=uri)
        asset = next((row for row in rows if row.get("uri") == uri), None)
        if asset is None:
            raise NotFoundError(f"there is no asset {uri[:120]!r} that may be shown.", 404)
    else:
        asset = await door.one("get_asset", asset_id=ids["asset_id"])
    tasks = [*(asset.get("producing_tasks") or []), *(asset.get("scheduled_dags") or [])]
    dags = dict.fromkeys(row["dag_id"] for row in tasks)
    return {
        "asset_uri": asset.get("uri"),
        "asset_name": asset.get("name"),
        "dag_ids": [dag_id for dag_id in dags if door.may_see(dag_id)],
    }


def _next(door: InnerDoor, link: Link, ids: Json) -> list[NextCall]:
    """The call that answers what somebody who sends this link mostly wants to know."""
    dag, dag_run, task = (ids.get(name) for name in ("dag_id", "dag_run_id", "task_id"))

    def call(tool: str, *names: str, **others: object) -> list[NextCall]:
        chosen = {name: ids[name] for name in names if name in ids}
        return [next_call(tool, _WHY[tool], **chosen, **others)]

    if link.page in _LISTS and task is None and dag_run is None:
        states = {"state": [link.state]} if link.page == "dag_runs" and link.state in _RUN_STATES else {}
        every = {} if link.page == "dags" else {"dag_id": dag or "~"}
        every |= {"dag_run_id": "~"} if link.page == "task_instances" else {}
        return call(_LISTS[link.page], **every, **states)
    if link.page == "pools":
        return call("list_pools")
    if dag is None:
        shown = ids.get("dag_ids") or []
        return call("get_dag_overview", dag_id=shown[0]) if shown else []
    if dag_run is None:
        if link.page == "code" and task is None:
            return call("get_dag_source", "dag_id")
        if "logical_date" in ids:
            return call("list_dag_runs", "dag_id")
        if task and door.version.generation == "v2":
            return call("list_task_instances", "dag_id", "task_id", dag_run_id="~")
        return call("get_dag_overview", "dag_id")
    where = ("dag_id", "dag_run_id")
    if task is None:
        if "task_group_id" in ids:
            return call("list_task_instances", *where)
        return call(_AFTER_RUN.get(ids.get("state", ""), "get_dag_run"), *where)
    if link.page in ("mapped", "mapped_tasks", "task_instances"):
        filtered = ("task_id",) if door.version.generation == "v2" else ()
        return call("list_task_instances", *where, *filtered)
    tool = _TASK_PAGES.get(link.page, "read_task_log")
    tried = ("try_number",) if tool == "read_task_log" else ()
    return call(tool, *where, "task_id", "map_index", *tried)
