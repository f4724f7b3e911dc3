"""Which call is meant by one of call_tool or call_changing_tool, before anything judges it."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Catalog, Tool, build_unknown_tool_error
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.errors import InvalidArgumentsError


def unwrap(forwarder: Tool, arguments: Json, catalog: Catalog) -> tuple[Tool, Json]:
    """The tool that is meant and its arguments. Raises InvalidArgumentsError with what to do instead."""
    name, inner = arguments.get("tool"), arguments.get("arguments", {})
    if not isinstance(name, str):
        raise InvalidArgumentsError("tool is required, the name of a tool.")
    if stray := sorted(arguments.keys() - {"tool", "arguments"}):
        names = ", ".join(one[:60] for one in stray[:3])
        raise InvalidArgumentsError(f"{names} must stand in `arguments`, as in a direct call of {name[:60]}.")
    if not isinstance(inner, dict):
        raise InvalidArgumentsError(f"arguments must be an object, the arguments of {name[:60]}.")
    tool = catalog.tools.get(name)
    if tool is None:
        finds = next_call("find_tools", "finds one by what it does", query=name[:80].replace("_", " "))
        raise InvalidArgumentsError(str(build_unknown_tool_error(name, catalog))).advise(finds)
    if tool.entry.forwards:
        raise InvalidArgumentsError(f"{name} runs other tools: name the tool itself.")
    if all(tool.name != one.name for one in forwarder.forwarded_tools):
        kind = "only reads" if tool.entry.access == "read" else "changes something"
        other = next(
            one.name for one in catalog.tools.values() if one.entry.forwards not in (None, forwarder.entry.forwards)
        )
        runs = next_call(other, "runs it", tool=name, arguments=inner)
        raise InvalidArgumentsError(f"{name} {kind}: run it by {other}. Nothing was done.").advise(runs)
    return tool, inner
