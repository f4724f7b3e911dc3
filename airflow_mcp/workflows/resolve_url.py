"""Resolve a link of Airflow's UI to ids and the call to make; the link itself is parsed, never fetched."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.dispatch.operations.ui_links import Link, add_timezone, convert_ids, read_link
from airflow_mcp.dispatch.operations.ui_lists import LISTS, build_api_call, build_list_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError, NotFoundError

_AFTER_RUN = {"failed": "diagnose_dag_run", "queued": "why_not_running", "running": "wait_for_dag_run"}
_PAGE_OF_TOOL = {  # by operation of the API: the page of the UI about the same thing
    "read_task_log": "logs", "get_task_instance": "details", "list_xcoms": "xcom", "get_dag": "", "get_dag_details": "",
    "get_dag_run": "",
}  # fmt: skip
_DAG_PAGES = {  # by page of a DAG or a run: the tool that lists the same rows
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
    """Return the ids, `state` where it was read, and `next`, in at most two requests.

    Raises InvalidArgumentsError for a text without a link of Airflow and for an API address that no tool reads.
    """
    link, call, ignored_filters = _find_call(context, read_link(arguments["url"], context.url))
    ids = dict(link.ids)
    if "logical_date" in ids:
        ids["logical_date"] = add_timezone(ids["logical_date"])
    hints = [sentence] if (sentence := link.describe_other_host(context.url)) else []
    if ignored_filters:
        hints.append(
            f"No argument stands for {', '.join(name[:60] for name in ignored_filters[:10])}: the list is wider."
        )
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
    """Return the link with its ids; for a list or an API address its call, and the filters without an argument."""
    catalog, version, page = context.catalog, context.version, link.page
    if link.api:
        api_call = build_api_call(*link.api, link.query, catalog, version)
        if api_call is None:
            raise InvalidArgumentsError(f"resolve_url: no tool reads the API's address {link.api[1][:120]!r}.")
        tool, arguments, ignored_filters = api_call
        ids = convert_ids({name: str(value) for name, value in arguments.items() if value != "~"})
        if tool.name in _PAGE_OF_TOOL:
            return replace(link, ids=ids, page=_PAGE_OF_TOOL[tool.name]), [], []
        return replace(link, ids=ids), [_advise_list(tool.name, arguments)], ignored_filters
    dag_tool = "task_id" not in link.ids and "task_group_id" not in link.ids and _DAG_PAGES.get(page)
    name = dag_tool if "dag_id" in link.ids and page in _DAG_PAGES else LISTS.get(page)
    if not name or (page in ("task_instances", "events") and "task_id" in link.ids):
        return link, [], []
    tool = catalog.tools[name]
    if not tool.entry.since.has(version):
        return link, [], []
    arguments, ignored_filters = build_list_call(tool, link.ids, link.query, catalog, version)
    return link, [_advise_list(name, arguments)], ignored_filters


async def _read_details(context: WorkflowContext, ids: Json) -> Json:
    """Read what one request adds: the run of a logical date, the state of a run, the DAGs of an asset."""
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
    """Advise the call that most likely answers what the sender of this link wants to know."""
    dag, dag_run, task = (ids.get(name) for name in ("dag_id", "dag_run_id", "task_id"))

    def call(tool: str, /, *names: str, **others: object) -> list[NextCall]:
        return [_advise_list(tool, {name: ids[name] for name in names if name in ids} | others)]

    if dag is None:
        dag_ids = ids.get("dag_ids") or []
        return call("get_dag_overview", dag_id=dag_ids[0]) if dag_ids else []
    if dag_run is None:
        if link.page == "code" and task is None:
            return call("get_dag_source", "dag_id")
        if "logical_date" in ids:
            return call("list_dag_runs", "dag_id")
        if task and context.version.generation == "v2":
            return call("list_task_instances", "dag_id", "task_id", dag_run_id="~")
        return call("get_dag_overview", "dag_id")
    run_ids = ("dag_id", "dag_run_id")
    if task is None:
        if "task_group_id" in ids:
            return call("list_task_instances", *run_ids)
        return call(_AFTER_RUN.get(ids.get("state", ""), "get_dag_run"), *run_ids)
    if link.page in ("mapped", "mapped_tasks", "task_instances"):
        filter_names = ("task_id",) if context.version.generation == "v2" else ()
        return call("list_task_instances", *run_ids, *filter_names)
    tool = _TASK_PAGES.get(link.page, "read_task_log")
    try_names = ("try_number",) if tool == "read_task_log" else ()
    return call(tool, *run_ids, "task_id", "map_index", *try_names)


def _advise_list(tool: str, arguments: Json) -> NextCall:
    return next_call(tool, _WHY.get(tool, "shows what the link is about"), **arguments)
