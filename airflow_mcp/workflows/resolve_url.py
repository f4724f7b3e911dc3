"""What a link of Airflow's UI is about, as ids and the call to make; the link itself is read, never fetched."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.dispatch.operations.ui_links import Link, add_timezone, convert_ids, read_link
from airflow_mcp.dispatch.operations.ui_lists import LISTS, build_api_call, build_list_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError, NotFoundError

_AFTER_RUN = {"failed": "diagnose_dag_run", "queued": "why_not_running", "running": "wait_for_dag_run"}
_PAGE_OF_TOOL = {  # an operation of the API: the page of the UI that is about the same
    "read_task_log": "logs", "get_task_instance": "details", "list_xcoms": "xcom", "get_dag": "", "get_dag_details": "",
    "get_dag_run": "",
}  # fmt: skip
_DAG_PAGES = {  # behind a DAG or a run: the tool that lists the same
    "runs": "list_dag_runs", "events": "list_event_logs", "backfills": "list_backfills",
    "required_actions": "list_hitl_details", "asset_events": "list_upstream_asset_events",
}  # fmt: skip
_TASK_PAGES = {
    "events": "list_event_logs",
    "required_actions": "list_hitl_details",
    "task-state-store": "list_task_states",
    "xcom": "list_xcoms",
    "details": "get_task_instance",
    "rendered_templates": "get_task_instance",
    "rendered-templates": "get_task_instance",
    "task": "get_task_instance",
}

_WHY = {
    "diagnose_dag_run": "says why it failed",
    "wait_for_dag_run": "waits until it ends",
    "why_not_running": "says what it waits for",
}


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Ids, `state` where it was read, and `next`, in at most two requests. Raises InvalidArgumentsError."""
    link, call, lost = _find_call(context, read_link(arguments["url"], context.url))
    ids = dict(link.ids)
    if "logical_date" in ids:
        ids["logical_date"] = add_timezone(ids["logical_date"])
    hints = [sentence] if (sentence := link.describe_other_host(context.url)) else []
    if lost:
        hints.append(f"No argument stands for {', '.join(name[:60] for name in lost[:10])}: the list is wider.")
    if link.other_links:
        hints.append(f"The text holds {link.other_links} more of Airflow's links; this is the first.")
    try:
        ids |= await _read_details(context, ids)
    except AirflowMcpError as error:
        hints.append(f"The link names these ids, but looking them up failed: {error}")
    if "dag_run_id" in ids:
        ids.pop("logical_date", None)
    return {**ids, "next": call or _advise(context, link, ids) or None, "hint": " ".join(hints) or None}


def _find_call(context: WorkflowContext, link: Link) -> tuple[Link, list[NextCall], list[str]]:
    """The link with its ids; where it is a list or an address of the API, its call, and filters without an argument."""
    catalog, version, page = context.catalog, context.version, link.page
    if link.api:
        found = build_api_call(*link.api, link.query, catalog, version)
        if found is None:
            raise InvalidArgumentsError(f"resolve_url: no tool reads the API's address {link.api[1][:120]!r}.")
        tool, arguments, lost = found
        ids = convert_ids({name: str(value) for name, value in arguments.items() if value != "~"})
        if tool.name in _PAGE_OF_TOOL:
            return replace(link, ids=ids, page=_PAGE_OF_TOOL[tool.name]), [], []
        return replace(link, ids=ids), [_advise_list(tool.name, arguments)], lost
    in_dag = "task_id" not in link.ids and "task_group_id" not in link.ids and _DAG_PAGES.get(page)
    name = in_dag if "dag_id" in link.ids and page in _DAG_PAGES else LISTS.get(page)
    if not name or (page in ("task_instances", "events") and "task_id" in link.ids):
        return link, [], []
    tool = catalog.tools[name]
    if not tool.entry.since.has(version):
        return link, [], []
    arguments, lost = build_list_call(tool, link.ids, link.query, catalog, version)
    return link, [_advise_list(name, arguments)], lost


async def _read_details(context: WorkflowContext, ids: Json) -> Json:
    """What one read adds: the run of a logical date, the state of a run, the DAGs of an asset."""
    if "asset_id" in ids or "asset_uri" in ids:
        return await _read_asset(context, ids)
    if "logical_date" in ids and "dag_id" in ids:
        moment = ids["logical_date"]
        rows, _ = await context.read_rows(
            "list_dag_runs", dag_id=ids["dag_id"], logical_date_gte=moment, logical_date_lte=moment, limit=1
        )
        if not rows:
            raise NotFoundError(f"no run of {ids['dag_id'][:120]!r} has this logical date.", 404)
        return {"dag_run_id": rows[0]["dag_run_id"], "state": rows[0].get("state")}
    if "dag_run_id" in ids and "dag_id" in ids and not {"task_id", "task_group_id"} & ids.keys():
        dag_run = await context.read_record("get_dag_run", dag_id=ids["dag_id"], dag_run_id=ids["dag_run_id"])
        return {"state": dag_run.get("state")}
    return {}


async def _read_asset(context: WorkflowContext, ids: Json) -> Json:
    if "asset_id" not in ids:
        uri = ids["asset_uri"]
        rows, _ = await context.read_rows("list_assets", uri_pattern=uri)
        asset = next((row for row in rows if row.get("uri") == uri), None)
        if asset is None:
            raise NotFoundError(f"there is no asset {uri[:120]!r} that may be shown.", 404)
    else:
        asset = await context.read_record("get_asset", asset_id=ids["asset_id"])
    tasks = [*(asset.get("producing_tasks") or []), *(asset.get("scheduled_dags") or [])]
    dags = dict.fromkeys(row["dag_id"] for row in tasks)
    return {
        "asset_uri": asset.get("uri"),
        "asset_name": asset.get("name"),
        "dag_ids": [dag_id for dag_id in dags if context.may_see(dag_id)],
    }


def _advise(context: WorkflowContext, link: Link, ids: Json) -> list[NextCall]:
    """The call that answers what somebody who sends this link mostly wants to know."""
    dag, dag_run, task = (ids.get(name) for name in ("dag_id", "dag_run_id", "task_id"))

    def call(tool: str, /, *names: str, **others: object) -> list[NextCall]:
        return [_advise_list(tool, {name: ids[name] for name in names if name in ids} | others)]

    if dag is None:
        shown = ids.get("dag_ids") or []
        return call("get_dag_overview", dag_id=shown[0]) if shown else []
    if dag_run is None:
        if link.page == "code" and task is None:
            return call("get_dag_source", "dag_id")
        if "logical_date" in ids:
            return call("list_dag_runs", "dag_id")
        if task and context.version.generation == "v2":
            return call("list_task_instances", "dag_id", "task_id", dag_run_id="~")
        return call("get_dag_overview", "dag_id")
    where = ("dag_id", "dag_run_id")
    if task is None:
        if "task_group_id" in ids:
            return call("list_task_instances", *where)
        return call(_AFTER_RUN.get(ids.get("state", ""), "get_dag_run"), *where)
    if link.page in ("mapped", "mapped_tasks", "task_instances"):
        filtered = ("task_id",) if context.version.generation == "v2" else ()
        return call("list_task_instances", *where, *filtered)
    tool = _TASK_PAGES.get(link.page, "read_task_log")
    tried = ("try_number",) if tool == "read_task_log" else ()
    return call(tool, *where, "task_id", "map_index", *tried)


def _advise_list(tool: str, arguments: Json) -> NextCall:
    return next_call(tool, _WHY.get(tool, "shows what the link is about"), **arguments)
