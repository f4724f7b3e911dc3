"""Build the call that shows the same as a list page of Airflow's UI or an address of its API. Pure: no requests.

The names of the UI's filters are those of its search params (Airflow 3.3.2, constants/searchParams) and of Flask
AppBuilder's filters in 2.x (_flt_3_X: X equals, _flt_2_X: X contains).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from urllib.parse import unquote

from airflow_mcp.catalog.client_arguments import read_arguments
from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.manifest_syntax import ParameterUse
from airflow_mcp.catalog.schema import build_parameter_schema, validate
from airflow_mcp.catalog.versions import Generation, Version
from airflow_mcp.errors import InvalidArgumentsError

LISTS = {  # page: the tool that lists the same objects
    "dags": "list_dags", "dag_runs": "list_dag_runs", "task_instances": "list_task_instances", "pools": "list_pools",
    "events": "list_event_logs", "xcoms": "list_xcoms", "jobs": "list_jobs", "variables": "list_variables",
    "connections": "list_connections", "plugins": "list_plugins", "providers": "list_providers",
    "configs": "get_config", "assets": "list_assets", "required_actions": "list_hitl_details",
    "backfills": "list_backfills", "asset_events": "list_asset_events",
}  # fmt: skip
_FILTERS = {  # a filter of the UI: the tool's argument, where its name differs
    "run_id": "dag_run_id", "event_type": "event", "user": "owner", "sort": "order_by", "search": "dag_id_pattern",
    "key_pattern": "xcom_key_pattern", "start_date": "start_date_gte", "end_date": "end_date_lte", "lastrun": "state",
    "execution_date": "logical_date", "status": "paused", "name": "name_pattern",
}  # fmt: skip
_RENAMED = {  # the same for single tools
    ("list_dags", "name_pattern"): "dag_id_pattern", ("list_dags", "state"): "last_dag_run_state",
    ("list_variables", "xcom_key_pattern"): "variable_key_pattern", ("list_event_logs", "start_date_gte"): "after",
    ("list_event_logs", "end_date_lte"): "before", ("list_connections", "name_pattern"): "connection_id_pattern",
    ("list_pools", "name_pattern"): "pool_name_pattern", ("list_variables", "key"): "variable_key_pattern",
}  # fmt: skip
_VIEW = frozenset({  # parameters of the page's appearance, not of its rows
    "limit", "offset", "view", "tab", "tz", "page", "num_runs", "base_date", "root", "card", "cardView", "search_type",
})  # fmt: skip
_SEGMENT = re.compile(r"\[/\{(\w+)\}\]|\{(\w+)\}")


def build_list_call(
    tool: Tool, ids: Json, query: tuple[tuple[str, str], ...], catalog: Catalog, version: Version
) -> tuple[Json, list[str]]:
    """Return the tool's arguments for a page's filters, and the names of filters without a matching argument.

    Required ids that the page does not name become "~", which means any.
    """
    uses = {use.name: use for use in tool.entry.params if use.in_schema(version) and use.name not in _VIEW}
    arguments: Json = {name: value for name, value in ids.items() if name in uses}
    unsupported: list[str] = []
    for name, text in query:
        argument = _find_argument(tool.name, name, uses.keys())
        if not text or name in _VIEW or (argument in ids and argument in arguments):
            continue
        if argument is None:
            unsupported.append(name)
            continue
        schema = build_parameter_schema(catalog.parameters[uses[argument].table], version)
        is_list = schema.get("type") == "array"
        raw_arguments = {argument: [*arguments.get(argument, ()), text] if is_list else _strip_pattern(argument, text)}
        parsed_arguments = read_arguments(tool, raw_arguments, catalog)
        try:
            validate(tool, parsed_arguments, catalog, complete=False)
        except InvalidArgumentsError:
            unsupported.append(name)
            continue
        arguments |= parsed_arguments
    route = tool.entry.route(version.generation)
    in_path = {"dag_run_id"} & set(route.slots if route else ())  # without it the tool would read the latest run
    wildcard_ids = (use.name for use in tool.entry.params if use.required or use.name in in_path)
    arguments |= {name: "~" for name in wildcard_ids if name not in arguments}
    return arguments, list(dict.fromkeys(unsupported))


def build_api_call(
    generation: Generation, path: str, query: tuple[tuple[str, str], ...], catalog: Catalog, version: Version
) -> tuple[Tool, Json, list[str]] | None:
    """Return the tool, arguments and unsupported parameter names for an address of the REST API.

    `path` is the part after /api/vN. None where no tool reads that route.
    """
    for operation in catalog.operations.values():
        route = operation.entry.route(generation)
        if route is None or route.method != "GET" or operation.entry.access != "read":
            continue
        match = _route_pattern(route.path).fullmatch(path.rstrip("/"))
        tool = catalog.tools.get(operation.entry.part_of or operation.name)
        if match is None or tool is None:
            continue
        slots = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
        names = {_wire_name(operation, use, catalog, generation): use.name for use in operation.entry.params}
        argument_names = {use.name for use in tool.entry.params}
        ids = read_arguments(tool, {name: value for name, value in slots.items() if name in argument_names}, catalog)
        filters = tuple((names.get(name, name), value) for name, value in query)
        return tool, *build_list_call(tool, ids, filters, catalog, version)
    return None


def _find_argument(tool: str, name: str, names: Collection[str]) -> str | None:
    for prefix, suffix in (("_flt_3_", ""), ("_flt_0_", ""), ("_flt_2_", "_pattern")):
        name = f"{name.removeprefix(prefix)}{suffix}" if name.startswith(prefix) else name
    for candidate in (name, _FILTERS.get(name, name)):
        argument = _RENAMED.get((tool, candidate), candidate)
        if argument in names:
            return argument
    return None


def _strip_pattern(argument: str, text: str) -> str:
    return {"paused": "true", "active": "false"}.get(text, text) if argument == "paused" else text


def _wire_name(operation: Tool, use: ParameterUse, catalog: Catalog, generation: Generation) -> str:
    return operation.entry.alias.get(use.name) or catalog.parameters[use.table].wire_name(use.name, generation)


@cache
def _route_pattern(path: str) -> re.Pattern[str]:
    """Return a pattern for the quoted paths of a route; the index of a mapped task instance may follow any task."""
    parts: list[str] = []
    position = 0
    for slot in _SEGMENT.finditer(path):
        parts += [re.escape(path[position : slot.start()]), _write_slot(slot[1], slot[2], path)]
        position = slot.end()
    return re.compile("".join([*parts, re.escape(path[position:])]))


def _write_slot(optional: str | None, name: str, path: str) -> str:
    if optional:
        return rf"(?:/(?P<{optional}>\d+))?"
    index = name == "task_id" and "taskInstances" in path and "map_index" not in path
    return rf"(?P<{name}>[^/]+)" + (r"(?:/(?P<map_index>\d+))?" if index else "")
