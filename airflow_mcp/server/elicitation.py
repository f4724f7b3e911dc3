"""Ask the client's human to confirm, in both protocol eras (MCP elicitation).

Clients of 2024-11-05 to 2025-11-25 are asked in the middle of the call. Clients of 2026-07-28 get the question as the
result of the call and repeat the call with the answer: the tool runs twice, the first time up to the question.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from airflow_mcp.dispatch.caller import ApprovalAnswer, ApprovalQuestion, Ask, refuse_to_ask
from airflow_mcp.dispatch.safety.plan_tokens import PLAN_SECONDS
from airflow_mcp.errors import NotAllowedError

_MODERN = "2026-07-28"
_KEY = "confirm"
_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {_KEY: {"type": "boolean", "title": "Do it"}},
    "required": [_KEY],
}


class QuestionPending(Exception):
    """Ends a call with a question to the client's human, in `result`."""

    def __init__(self, result: InputRequiredResult) -> None:
        super().__init__()
        self.result = result


def build_ask(ctx: Context[None, Any]) -> Ask:
    """Return the function that asks the human of this call; building it asks nothing."""

    async def ask(question: ApprovalQuestion) -> ApprovalAnswer:
        if not _can_ask(ctx):
            return await refuse_to_ask(question)
        if (ctx.protocol_version or "") < _MODERN:
            related_id = ctx.request_context.request_id
            try:
                with anyio.fail_after(PLAN_SECONDS):
                    return _read_answer(
                        await ctx.session.elicit_form(question.text, _FORM, related_request_id=related_id)
                    )
            except TimeoutError:
                limit = f"{PLAN_SECONDS // 60} minutes"
                raise NotAllowedError(f"Nothing was done: nobody answered within {limit}. Call again.") from None
            except MCPError:
                return await refuse_to_ask(question)  # the client declared elicitation, and could not ask
        return _resume(ctx, question)

    return ask


def _can_ask(ctx: Context[None, Any]) -> bool:
    capability = ctx.client_capabilities.elicitation if ctx.client_capabilities else None
    if capability is None or (capability.form is None and capability.url is not None):
        return False
    return (ctx.protocol_version or "") >= _MODERN or ctx.session.can_send_request


def _resume(ctx: Context[None, Any], question: ApprovalQuestion) -> ApprovalAnswer:
    """Return the client's answer to exactly this question. Raises QuestionPending when the call brought none.

    The digest ties an answer to one call and its target ids: another call, or other targets, asks anew. The SDK seals
    the state but accepts it for several calls within its lifetime: the random number makes it good for one.
    """
    answers = ctx.input_responses or {}
    try:
        state = json.loads(ctx.request_state or "")
    except ValueError:
        state = None
    answer = answers.get(_KEY)
    if isinstance(state, dict) and state.get("question") == question.digest and isinstance(answer, ElicitResult):
        return _read_answer(answer, claim_id=str(state["number"]))
    request = ElicitRequest(params=ElicitRequestFormParams(message=question.text, requested_schema=_FORM))
    state_text = json.dumps({"question": question.digest, "number": secrets.token_hex(8)})
    raise QuestionPending(InputRequiredResult(input_requests={_KEY: request}, request_state=state_text))


def _read_answer(result: Any, claim_id: str = "") -> ApprovalAnswer:
    yes = result.action == "accept" and (result.content or {}).get(_KEY) is True
    return ApprovalAnswer(yes, result.action if yes or result.action != "accept" else "no", claim_id)
