"""Find tools by what they do: the best names with a line each, and the arguments of the best, within the budget."""

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
    """Tools that may be called, best first; what else was found is counted."""
    return describe_tools(await context.find_tools(arguments["query"]), context.budget, context.ceiling)


def describe_tools(result: SearchResult, budget: int, ceiling: int) -> Json:
    """As many lines as fit, then as many schemas."""
    missed = {tool.name: why for tool, why in result.unavailable}
    if not result.tools:
        hint = (
            "Nothing fits. Try Airflow's own words, a verb and a noun such as 'clear task', 'trigger dag' or 'list "
            f"pools'. There are tools about {', '.join(result.areas)}."
        )
        return {"tools": [], "not_here": missed or None, "hint": hint}
    lines = [f"{tool.name} ({tool.entry.access}): {tool.entry.summary}" for tool, _ in result.tools[:_MOST_TOOLS]]
    first = result.tools[0][0]
    runs = next_call("call_tool" if first.entry.access == "read" else "call_changing_tool", _RUN, tool=first.name)
    best = {tool.name: schema for tool, schema in result.tools[:_MOST_SCHEMAS]}

    def answer(count: int, schemas: Json) -> Json:
        left: Json = {}
        if count < len(result.tools):
            left["tools"] = len(result.tools) - count
        if missing := [name for name in best if name not in schemas]:
            left["schemas"] = missing
        built: Json = {"tools": lines[:count], "schemas": schemas, "not_here": missed or None, "next": [runs]}
        if left.get("schemas") and budget < ceiling:
            built["more"] = {"max_chars": min(ceiling, len(dumps([lines, best, missed])) + 300)}
        built["left_out"] = left or None
        return {name: value for name, value in built.items() if value is not None}

    shown, schemas = len(lines), dict[str, Json]()
    while shown > 1 and len(dumps(answer(shown, {}))) > budget:
        shown -= 1
    for name, schema in best.items():
        if len(dumps(answer(shown, {**schemas, name: schema}))) <= budget:
            schemas[name] = schema
    return answer(shown, schemas)
