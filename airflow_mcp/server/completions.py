"""Completion of ids in prompts and resource URIs, from the rows that the caller may list; none where listing fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from airflow_mcp.errors import AirflowMcpError
from airflow_mcp.server.auth.principal import get_caller

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from airflow_mcp.catalog.grammar import Json
    from airflow_mcp.dispatch.registry.instances import Instances

_MOST = 100  # values of one completion (MCP: completion/complete)


def add_completions(server: MCPServer[None], instances: Instances) -> None:
    """Register the completion handler at the server."""

    @server.completion()
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        del ref
        caller = get_caller()
        subset = instances.select(caller.instances)
        context_ids = (context.arguments if context else None) or {}
        if argument.name == "instance":
            return _build_completion(list(subset.dispatchers), argument.value)
        call = _build_call(argument, context_ids)
        if call is None:
            return None
        tool, arguments = call
        if len(subset.dispatchers) > 1 and context_ids.get("instance") in subset.dispatchers:
            arguments["instance"] = context_ids["instance"]
        try:
            answer = await subset.call(tool, arguments, caller)
        except AirflowMcpError:
            return None  # an error must not interrupt a person who is typing
        column = answer["columns"].index(argument.name) if argument.name in answer["columns"] else None
        return _build_completion([row[column] for row in answer["rows"]] if column is not None else [], argument.value)


def _build_call(argument: CompletionArgument, chosen: dict[str, str]) -> tuple[str, Json] | None:
    """Return the tool and arguments that list values of the argument; None where no tool does."""
    dag_id = chosen.get("dag_id")
    match argument.name:
        case "dag_id":
            return "list_dags", {"limit": _MOST} | ({"dag_id_pattern": argument.value} if argument.value else {})
        case "dag_run_id" if dag_id:
            return "list_dag_runs", {"dag_id": dag_id, "limit": _MOST}
        case "task_id" if dag_id:
            return "list_tasks", {"dag_id": dag_id, "limit": _MOST}
        case _:
            return None


def _build_completion(names: list[Any], prefix: str) -> Completion:
    """Return the names that contain the prefix in any case, first those that start with it."""
    matching_names = [str(name) for name in names if prefix.lower() in str(name).lower()]
    matching_names.sort(key=lambda name: not name.lower().startswith(prefix.lower()))
    return Completion(values=matching_names[:_MOST], has_more=len(matching_names) > _MOST)
