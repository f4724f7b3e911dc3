"""An event loop with a bound on TLS handshakes: a connection counts in no peer's share until its handshake ends."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from airflow_mcp.server.http.protocol import HEAD_SECONDS

if sys.platform == "win32":
    _Loop = asyncio.ProactorEventLoop
else:
    _Loop = asyncio.SelectorEventLoop


class HandshakeBoundLoop(_Loop):
    """asyncio's event loop, whose servers give a TLS handshake 20 seconds, like the headers of a request.

    uvicorn takes a loop by name and sets no bound of its own; asyncio's is 60 s.
    """

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """See asyncio.AbstractEventLoop."""
        if options.get("ssl"):
            options.setdefault("ssl_handshake_timeout", HEAD_SECONDS)
        return await super().create_server(*args, **options)
