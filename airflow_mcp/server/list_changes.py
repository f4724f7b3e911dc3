"""Notify clients that the list of tools changed (`notifications/tools/list_changed`), in both eras of MCP.

A client of 2026-07-28 is notified on a `subscriptions/listen` stream; an older one on its own channel: the pipe of
stdio, or over HTTP the GET stream of its session, where it has opened one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import anyio
from mcp.server.subscriptions import InMemorySubscriptionBus, ToolsListChanged

if TYPE_CHECKING:
    from mcp.server.connection import Connection
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from airflow_mcp.dispatch.registry.instances import Instances

_METHOD = "notifications/tools/list_changed"
_SECONDS = 5.0  # that one client may delay its notification


class ListChanges:
    """Sends the notifications: `bus` reaches the streams of 2026-07-28, `middleware` registers older sessions."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._connections: WeakSet[Connection] = WeakSet()  # weak, since the SDK does not report the end of a session

    async def middleware(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Declare `listChanged` to clients with a channel for it at the handshake, and register their connections."""
        result = await call_next(ctx)
        connection = ctx.session._connection  # pyright: ignore[reportPrivateUsage]
        if ctx.method == "initialize" and isinstance(result, dict) and connection.has_standalone_channel:
            tools = {**result["capabilities"].get("tools", {}), "listChanged": True}
            return {**result, "capabilities": {**result["capabilities"], "tools": tools}}
        if ctx.method == "notifications/initialized":
            self._connections.add(connection)
        return result

    @asynccontextmanager
    async def follow(self, instances: Instances) -> AsyncGenerator[None]:
        """Notify clients in the block when the tools of these Airflows change; simultaneous changes count once."""
        send, receive = anyio.create_memory_object_stream[None](1)

        def note() -> None:
            if not send.statistics().current_buffer_used:
                send.send_nowait(None)

        async def pass_on() -> None:
            async for _ in receive:
                await self._announce()

        async with anyio.create_task_group() as group, send, receive:
            group.start_soon(pass_on)
            with instances.subscribe(note):
                yield
            group.cancel_scope.cancel()

    async def _announce(self) -> None:
        await self.bus.publish(ToolsListChanged())
        with anyio.move_on_after(_SECONDS):
            async with anyio.create_task_group() as group:
                for connection in list(self._connections):
                    group.start_soon(connection.notify, _METHOD, None)
