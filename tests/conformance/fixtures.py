"""What the conformance suite expects a server to have: tools, resources and prompts by names that it fixes.

They are added to a real server and test its transport, its gate and what the SDK makes of both. What the suite asks
for is in its own descriptions (`conformance list --server`, README); the fixtures that need several rounds are in
rounds.py.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, UserMessage
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

Json = dict[str, Any]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = base64.b64encode(b"RIFF&\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\2\0\0\0\0\0").decode()
TEXT: Json = {"type": "string"}
SCHEMAS: dict[str, Json] = {
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": TEXT, "city": TEXT}}},
        "properties": {
            "name": TEXT,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": TEXT,
            "email": TEXT,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
    "test_x_mcp_header": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
}
"""The tools whose schema the suite reads word for word."""


class Response(BaseModel):
    """What test_elicitation asks for; the suite answers with fields of its own."""

    username: str = ""
    email: str = ""


class Defaults(BaseModel):
    """A form whose every field has a default (SEP-1034)."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


class Choices(BaseModel):
    """A form with each way to write a choice (SEP-1330); the suite fixes the names."""

    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})
    titledSingle: str = Field(
        json_schema_extra={"oneOf": [{"const": f"value{one}", "title": f"Option {one}"} for one in (1, 2, 3)]}
    )
    legacyEnum: str = Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]})
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2"]}})
    titledMulti: list[str] = Field(
        json_schema_extra={
            "items": {"anyOf": [{"const": f"value{one}", "title": f"Choice {one}"} for one in (1, 2)]},
        }
    )


def add_fixtures(server: MCPServer[Any]) -> None:
    """Add all of this module to a server."""
    _add_contents(server)
    _add_questions(server)
    _add_notices(server)
    _add_schemas(server)
    _add_resources(server)
    _add_prompts(server)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _image() -> ImageContent:
    return ImageContent(type="image", data=PNG, mime_type="image/png")


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def _add_contents(server: MCPServer[Any]) -> None:
    """One tool for each kind of content."""

    @server.tool(description="Text")
    def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @server.tool(description="An image")
    def test_image_content() -> list[ImageContent]:
        return [_image()]

    @server.tool(description="A sound")
    def test_audio_content() -> list[AudioContent]:
        return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]

    @server.tool(description="A resource")
    def test_embedded_resource() -> list[EmbeddedResource]:
        return [_embedded("test://embedded-resource", "This is an embedded resource content.")]

    @server.tool(description="Text, an image and a resource")
    def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
        mixed = _embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
        return [_text("Multiple content types test:"), _image(), mixed]

    @server.tool(description="An error")
    def test_error_handling() -> str:
        raise ToolError("This tool intentionally returns an error for testing")


def _add_questions(server: MCPServer[Any]) -> None:
    """Tools that call the client in the middle of a call, as the protocols before 2026-07-28 allow."""

    @server.tool(description="Ask the client's model")
    async def test_sampling(prompt: str, ctx: Context) -> str:
        asked = [SamplingMessage(role="user", content=_text(prompt))]
        # Deprecated since 2026-07-28, and required by the set of 2025-11-25.
        answer = await ctx.session.create_message(  # pyright: ignore[reportDeprecated]
            asked, max_tokens=100, related_request_id=ctx.request_id
        )
        return f"LLM response: {getattr(answer.content, 'text', '')}"

    @server.tool(description="Ask the client's human")
    async def test_elicitation(message: str, ctx: Context) -> str:
        return f"User response: {(await ctx.elicit(message, Response)).model_dump_json()}"

    @server.tool(description="Ask with defaults")
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        return f"Elicitation completed: {(await ctx.elicit('Defaults', Defaults)).model_dump_json()}"

    @server.tool(description="Ask with choices")
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        return f"Elicitation completed: {(await ctx.elicit('Choices', Choices)).model_dump_json()}"


def _add_notices(server: MCPServer[Any]) -> None:
    """Tools that tell the client something before they answer, or need something of it."""

    @server.tool(description="Report progress")
    async def test_tool_with_progress(ctx: Context) -> str:
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        return "done"

    @server.tool(description="Write to the client's log")
    async def test_tool_with_logging(ctx: Context) -> str:
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(line)  # pyright: ignore[reportDeprecated]
        return "logged"

    @server.tool(description="Write to the log of whom asked for it")
    async def test_logging_tool(ctx: Context) -> str:
        await ctx.info("A line that only a request with a log level gets")  # pyright: ignore[reportDeprecated]
        return "logged"

    @server.tool(description="Close the stream and go on")
    async def test_reconnection(ctx: Context) -> str:
        await ctx.close_sse_stream()
        return "Reconnection test completed"

    @server.tool(description="Needs sampling")
    async def test_missing_capability(ctx: Context) -> str:
        if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
            required = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs sampling.", required)
        return "ok"

    @server.tool(description="Say that the tools have changed")
    async def test_trigger_tool_change(ctx: Context) -> str:
        await ctx.notify_tools_changed()
        return "tools changed"

    @server.tool(description="Say that the prompts have changed")
    async def test_trigger_prompt_change(ctx: Context) -> str:
        await ctx.notify_prompts_changed()
        return "prompts changed"


def _add_schemas(server: MCPServer[Any]) -> None:
    """Tools of which only the schema matters; `SCHEMAS` has them, and server.py lists them so."""

    @server.tool(description="A schema with every keyword")
    def json_schema_2020_12_tool(name: str = "") -> str:
        return name

    @server.tool(description="An argument that a header repeats")
    def test_x_mcp_header(region: str = "") -> str:
        return region


def _add_resources(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", mime_type="text/plain", description="A text")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png", description="An image")
    def static_binary() -> bytes:
        return base64.b64decode(PNG)

    @server.resource("test://watched-resource", mime_type="text/plain", description="To subscribe to")
    def watched_resource() -> str:
        return "This resource is watched."

    @server.resource("test://template/{id}/data", mime_type="application/json", description="A template")
    def template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _add_prompts(server: MCPServer[Any]) -> None:
    @server.prompt(description="A prompt")
    def test_simple_prompt() -> list[UserMessage]:
        return [UserMessage("This is a simple prompt for testing.")]

    @server.prompt(description="With arguments")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
        return [UserMessage(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]

    @server.prompt(description="With a resource")
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        held = _embedded(resourceUri, "Embedded resource content for testing.")
        return [UserMessage(held), UserMessage("Please process the embedded resource above.")]

    @server.prompt(description="With an image")
    def test_prompt_with_image() -> list[UserMessage]:
        return [UserMessage(_image()), UserMessage("Please analyze the image above.")]
