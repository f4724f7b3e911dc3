"""The call that a call of call_tool or call_changing_tool forwards, found before anything decides on it."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Catalog, Tool, build_unknown_tool_error
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.errors import InvalidArgumentsError


def unwrap(forwarder: Tool, arguments: Json, catalog: Catalog) -> tuple[Tool, Json]:
    """Return the forwarded tool and its arguments. Raises InvalidArgumentsError that says what to do instead."""
    name, inner_arguments = arguments.get("tool"), arguments.get("arguments", {})
    if not isinstance(name, str):
        raise InvalidArgumentsError("tool is required, the name of a tool.")
    if stray_names := sorted(arguments.keys() - {"tool", "arguments"}):
        names = ", ".join(key[:60] for key in stray_names[:3])
        raise InvalidArgumentsError(f"{names} must stand in `arguments`, as in a direct call of {name[:60]}.")
    if not isinstance(inner_arguments, dict):
        raise InvalidArgumentsError(f"arguments must be an object, the arguments of {name[:60]}.")
    tool = catalog.tools.get(name)
    if tool is None:
        search_advice = next_call("find_tools", "finds one by what it does", query=name[:80].replace("_", " "))
        raise InvalidArgumentsError(str(build_unknown_tool_error(name, catalog))).advise(search_advice)
    if tool.entry.forwards:
        raise InvalidArgumentsError(f"{name} runs other tools: name the tool itself.")
    if all(tool.name != candidate.name for candidate in forwarder.forwarded_tools):
        kind = "only reads" if tool.entry.access == "read" else "changes something"
        right_forwarder = next(
            candidate.name
            for candidate in catalog.tools.values()
            if candidate.entry.forwards not in (None, forwarder.entry.forwards)
        )
        advice = next_call(right_forwarder, "runs it", tool=name, arguments=inner_arguments)
        raise InvalidArgumentsError(f"{name} {kind}: run it by {right_forwarder}. Nothing was done.").advise(advice)
    return tool, inner_arguments
