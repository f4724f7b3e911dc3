"""Find tools by what they do: the best matches with a line each, and the arguments of the best, within the budget."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.registry.search import SearchResult
from airflow_mcp.dispatch.workflow_context import WorkflowContext

_MOST_TOOLS = 8
_MOST_SCHEMAS = 3
_RUN = "runs the first, listed or not; what it takes goes into `arguments`. One that is listed is called by its name"


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Return the tools that may be called, best match first; the matches left out are counted."""
    return describe_tools(await context.find_tools(arguments["query"]), context.budget, context.ceiling)


def describe_tools(result: SearchResult, budget: int, ceiling: int) -> Json:
    """Describe as many tools as fit into the budget in a line each, then add as many schemas as fit."""
    missing_tools = {tool.name: reason for tool, reason in result.unavailable}
    if not result.tools:
        hint = (
            "Nothing fits. Try Airflow's own words, a verb and a noun such as 'clear task', 'trigger dag' or 'list "
            f"pools'. There are tools about {', '.join(result.areas)}."
        )
        return {"tools": [], "not_here": missing_tools or None, "hint": hint}
    lines = [f"{tool.name} ({tool.entry.access}): {tool.entry.summary}" for tool, _ in result.tools[:_MOST_TOOLS]]
    first = result.tools[0][0]
    run_call = next_call("call_tool" if first.entry.access == "read" else "call_changing_tool", _RUN, tool=first.name)
    best_schemas = {tool.name: schema for tool, schema in result.tools[:_MOST_SCHEMAS]}

    def answer(count: int, schemas: Json) -> Json:
        omissions: Json = {}
        if count < len(result.tools):
            omissions["tools"] = len(result.tools) - count
        if missing_schemas := [name for name in best_schemas if name not in schemas]:
            omissions["schemas"] = missing_schemas
        parts: Json = {
            "tools": lines[:count],
            "schemas": schemas,
            "not_here": missing_tools or None,
            "next": [run_call],
        }
        if omissions.get("schemas") and budget < ceiling:
            parts["more"] = {"max_chars": min(ceiling, len(dumps([lines, best_schemas, missing_tools])) + 300)}
        parts["left_out"] = omissions or None
        return {name: value for name, value in parts.items() if value is not None}

    tool_count, schemas = len(lines), dict[str, Json]()
    while tool_count > 1 and len(dumps(answer(tool_count, {}))) > budget:
        tool_count -= 1
    for name, schema in best_schemas.items():
        if len(dumps(answer(tool_count, {**schemas, name: schema}))) <= budget:
            schemas[name] = schema
    return answer(tool_count, schemas)
