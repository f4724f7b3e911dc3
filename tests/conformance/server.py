"""The product's server with the suite's fixtures beside its own tools, over the product's HTTP application.

python -m tests.conformance.server    prints its address to stderr and serves until SIGTERM, with the usual settings
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.types import (
    CallToolResult,
    EmptyResult,
    GetPromptResult,
    InputRequiredResult,
    ResourceTemplate,
    SetLevelRequestParams,
    SubscribeRequestParams,
    Tool,
    UnsubscribeRequestParams,
)
from pydantic import AnyUrl

from airflow_mcp.server.app import AirflowServer
from airflow_mcp.server.http.serve import build_application
from airflow_mcp.settings.settings import read_settings
from tests.conformance.fixtures import SCHEMAS, add_fixtures
from tests.conformance.rounds import add_rounds


class ServerWithFixtures(AirflowServer):
    """Hands what is a fixture's to the SDK, past the checks for Airflow's tools; the rest is the product's."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        ours = {tool.name for tool in self._tool_manager.list_tools()}
        our_prompts = {prompt.name for prompt in self._prompt_manager.list_prompts()}
        add_fixtures(self)
        add_rounds(self)
        for name, schema in SCHEMAS.items():
            if tool := self._tool_manager.get_tool(name):
                tool.parameters = schema
        self._tools = {tool.name for tool in self._tool_manager.list_tools()} - ours
        self._prompts = {prompt.name for prompt in self._prompt_manager.list_prompts()} - our_prompts
        # Methods of 2025-11-25 for which the SDK's server has no public place, and the product no use.
        self._lowlevel_server.add_request_handler("logging/setLevel", SetLevelRequestParams, _nothing_to_do)
        self._lowlevel_server.add_request_handler("resources/subscribe", SubscribeRequestParams, _nothing_to_do)
        self._lowlevel_server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, _nothing_to_do)

    async def list_tools(self) -> list[Tool]:
        fixtures = [tool for tool in await MCPServer.list_tools(self) if tool.name in self._tools]
        return [*await super().list_tools(), *fixtures]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[None, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        if name in self._tools:
            return await MCPServer.call_tool(self, name, arguments, context)
        return await super().call_tool(name, arguments, context)

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        return [*await super().list_resource_templates(), *await MCPServer.list_resource_templates(self)]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[None, Any] | None = None
    ) -> Iterable[ReadResourceContents]:
        fixtures = {str(resource.uri) for resource in await self.list_resources()}
        if str(uri) in fixtures or str(uri).startswith("test://template/"):
            contents = await MCPServer.read_resource(self, uri, context)
            assert not isinstance(contents, InputRequiredResult)  # no fixture of these asks
            return contents
        return await super().read_resource(uri, context)

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[None, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        if name in self._prompts:
            return await MCPServer.get_prompt(self, name, arguments, context)
        return await super().get_prompt(name, arguments, context)


async def _nothing_to_do(ctx: Any, params: Any) -> EmptyResult:
    return EmptyResult()


def main() -> None:
    """Serve on a free port of loopback."""
    application = build_application(read_settings(), ServerWithFixtures)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"serving http://127.0.0.1:{listener.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
        uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan="on")).run(sockets=[listener])


if __name__ == "__main__":
    main()
