"""What the conformance suite expects of a server that needs several rounds: results that ask for input (2026-07-28)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, UserMessage
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

Json = dict[str, Any]
Requests = dict[str, ElicitRequest | CreateMessageRequest | ListRootsRequest]
Answers = Mapping[str, Any]
_TEXT: Json = {"type": "string"}
_YES_OR_NO: Json = {"type": "boolean"}


def add_rounds(server: MCPServer[Any]) -> None:
    """Add all of this module to a server."""
    name, model, roots = _form("What is your name?", name=_TEXT), _model("Greet me"), ListRootsRequest()
    _add(server, "elicitation", {"user_name": name}, lambda got: f"Hello, {_field(got, 'user_name', 'name')}!")
    _add(
        server,
        "sampling",
        {"capital_question": _model("What is the capital of France?")},
        lambda got: f"The model said: {got['capital_question'].content.text}",
    )
    _add(server, "list_roots", {"client_roots": roots}, lambda got: f"{len(got['client_roots'].roots)} root(s)")
    confirm: Requests = {"confirm": _form("Please confirm", ok=_YES_OR_NO)}
    _add(server, "request_state", confirm, lambda got: "state-ok: confirmed", state="a number")
    _add(server, "tampered_state", confirm, lambda got: "state-ok: untouched", state="round 1")
    several: Requests = {"user_name": name, "greeting": model, "client_roots": roots}
    _add(server, "multiple_inputs", several, lambda got: "All inputs received", state="several")
    server.add_tool(
        _asking({"user_name": name}, lambda got: f"Hello, {_field(got, 'user_name', 'name')}!"),
        name="test_streaming_elicitation",
        description="Asks, and sends nothing but the question",
    )
    _add_two_rounds(server)
    _add_what_the_client_can(server)
    _add_prompt(server)


def _form(message: str, **properties: Json) -> ElicitRequest:
    schema: Json = {"type": "object", "properties": properties, "required": list(properties)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _model(question: str) -> CreateMessageRequest:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=question))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[asked], max_tokens=50))


def _field(answers: Answers, key: str, name: str) -> Any:
    """One field of a form that came back filled in."""
    return (answers[key].content or {}).get(name)


def _add(
    server: MCPServer[Any], name: str, requests: Requests, done: Callable[[Answers], str], state: str | None = None
) -> None:
    tool = _asking(requests, done, state)
    server.add_tool(tool, name=f"test_input_required_result_{name}", description=f"Asks: {', '.join(requests)}")


def _asking(requests: Requests, done: Callable[[Answers], str], state: str | None = None) -> Callable[..., Any]:
    """What asks until every request is answered, and its state, if it has one, has come back."""

    async def tool(ctx: Context) -> str | InputRequiredResult:
        answers = ctx.input_responses or {}
        if answers.keys() >= requests.keys() and state in (None, ctx.request_state):
            return done(answers)
        return InputRequiredResult(input_requests=requests, request_state=state)

    return tool


def _add_two_rounds(server: MCPServer[Any]) -> None:
    @server.tool(description="Asks twice")
    async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
        answers = ctx.input_responses or {}
        state: Json = json.loads(ctx.request_state or "{}")
        if state.get("round") == 1 and "step1" in answers:
            known = json.dumps({"round": 2, "name": _field(answers, "step1", "name")})
            colour = _form("Which colour do you like best?", color=_TEXT)
            return InputRequiredResult(input_requests={"step2": colour}, request_state=known)
        if state.get("round") == 2 and "step2" in answers:
            return f"{state['name']} likes {_field(answers, 'step2', 'color')}"
        name = _form("What is your name?", name=_TEXT)
        return InputRequiredResult(input_requests={"step1": name}, request_state=json.dumps({"round": 1}))


def _add_what_the_client_can(server: MCPServer[Any]) -> None:
    @server.tool(description="Asks for what the client can answer")
    async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
        able = ctx.client_capabilities
        requests: Requests = {}
        if able and able.sampling:
            requests["model"] = _model("Greet me")
        if able and able.elicitation:
            requests["form"] = _form("What is your name?", name=_TEXT)
        return InputRequiredResult(input_requests=requests, request_state="capabilities")


def _add_prompt(server: MCPServer[Any]) -> None:
    @server.prompt(description="A prompt that asks")
    async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
        answers = ctx.input_responses or {}
        if "user_context" in answers:
            return [UserMessage(f"Context: {_field(answers, 'user_context', 'context')}")]
        asked = _form("What is this about?", context=_TEXT)
        return InputRequiredResult(input_requests={"user_context": asked})
