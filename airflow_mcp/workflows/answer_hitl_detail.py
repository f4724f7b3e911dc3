"""Answer a question that a task asks a person; it is checked before it is sent, since it cannot be taken back."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.workflows.shared.params import check_conf

_IDS = ("dag_id", "dag_run_id", "task_id", "map_index")


async def run(context: WorkflowContext, arguments: Json) -> Json:
    """Send the answer and return it as Airflow took it.

    Raises InvalidArgumentsError for a question that was answered already, for options that it does not offer and for
    values that its params do not take: Airflow 3.1 to 3.3 checks only the options and fails the task for a wrong value.
    """
    ids = {name: arguments[name] for name in _IDS if name in arguments}
    detail = await context.read_record("get_hitl_detail", **ids)
    if detail.get("response_received"):
        responder = detail.get("responded_by_user") or {}
        person = responder.get("name") if isinstance(responder, dict) else None
        raise InvalidArgumentsError(
            f"answer_hitl_detail: this question was answered already{f' by {person}' if person else ''}: "
            f"{', '.join(detail.get('chosen_options') or [])}. A task takes one answer."
        )
    options, offered_options = arguments["chosen_options"], detail.get("options") or []
    if unknown_names := [option for option in options if option not in offered_options]:
        raise InvalidArgumentsError(
            f"answer_hitl_detail: {', '.join(unknown_names)} is not among the options: {', '.join(offered_options)}."
        )
    if len(options) > 1 and not detail.get("multiple"):
        raise InvalidArgumentsError(f"answer_hitl_detail: choose one of {', '.join(offered_options)}, not several.")
    values, params = arguments.get("params_input") or {}, detail.get("params") or {}
    if unknown_names := sorted(values.keys() - params.keys()):
        param_names = ", ".join(params) or "none"
        raise InvalidArgumentsError(
            f"answer_hitl_detail: params_input.{unknown_names[0]} is unknown; it has {param_names}."
        )
    show_call = next_call("get_hitl_detail", "shows every param", **ids)
    check_conf("answer_hitl_detail", params, values, context.version.generation, show_call, label="params_input")
    answer = await context.read_record("patch_hitl_detail", **ids, chosen_options=options, params_input=values)
    return ids | answer
