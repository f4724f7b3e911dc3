"""Completion of ids in prompts and resource URIs, from what the caller may list; nothing where that fails."""

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
    """Register the one handler at the server."""

    @server.completion()
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        del ref
        caller = get_caller()
        seen = instances.select(caller.instances)
        chosen = (context.arguments if context else None) or {}
        if argument.name == "instance":
            return _build_completion(list(seen.dispatchers), argument.value)
        call = _build_call(argument, chosen)
        if call is None:
            return None
        tool, arguments = call
        if len(seen.dispatchers) > 1 and chosen.get("instance") in seen.dispatchers:
            arguments["instance"] = chosen["instance"]
        try:
            answer = await seen.call(tool, arguments, caller)
        except AirflowMcpError:
            return None  # who is typing is not to be stopped by an error
        place = answer["columns"].index(argument.name) if argument.name in answer["columns"] else None
        return _build_completion([row[place] for row in answer["rows"]] if place is not None else [], argument.value)


def _build_call(argument: CompletionArgument, chosen: dict[str, str]) -> tuple[str, Json] | None:
    """The tool that lists what may stand there."""
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
    """Those that hold what was typed, those that start with it first."""
    fitting = [str(name) for name in names if prefix.lower() in str(name).lower()]
    fitting.sort(key=lambda name: not name.lower().startswith(prefix.lower()))
    return Completion(values=fitting[:_MOST], has_more=len(fitting) > _MOST)
