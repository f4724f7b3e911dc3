"""Answer a question that a task asks a person: checked before it is sent, since an answer cannot be taken back."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.workflows.shared.params import check_conf

_IDS = ("dag_id", "dag_run_id", "task_id", "map_index")


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """The answer as Airflow took it.

    Raises InvalidArgumentsError for a question that was answered, for options it does not offer and for values its
    params do not take: Airflow 3.1 to 3.3 checks the options alone and fails the task for a wrong value.
    """
    ids = {name: arguments[name] for name in _IDS if name in arguments}
    asked = await context.read_record("get_hitl_detail", **ids)
    if asked.get("response_received"):
        by = asked.get("responded_by_user") or {}
        who = by.get("name") if isinstance(by, dict) else None
        raise InvalidArgumentsError(
            f"answer_hitl_detail: this question was answered already{f' by {who}' if who else ''}: "
            f"{', '.join(asked.get('chosen_options') or [])}. A task takes one answer."
        )
    chosen, offered = arguments["chosen_options"], asked.get("options") or []
    if strange := [one for one in chosen if one not in offered]:
        raise InvalidArgumentsError(
            f"answer_hitl_detail: {', '.join(strange)} is not among the options: {', '.join(offered)}."
        )
    if len(chosen) > 1 and not asked.get("multiple"):
        raise InvalidArgumentsError(f"answer_hitl_detail: choose one of {', '.join(offered)}, not several.")
    given, params = arguments.get("params_input") or {}, asked.get("params") or {}
    if strange := sorted(given.keys() - params.keys()):
        there = ", ".join(params) or "none"
        raise InvalidArgumentsError(f"answer_hitl_detail: params_input.{strange[0]} is unknown; it has {there}.")
    shows = next_call("get_hitl_detail", "shows every param", **ids)
    check_conf("answer_hitl_detail", params, given, context.version.generation, shows, label="params_input")
    answer = await context.read_record("patch_hitl_detail", **ids, chosen_options=chosen, params_input=given)
    return ids | answer
