"""A stand-in for Airflow 3 that costs next to nothing: canned answers from one asyncio protocol in its own process.

python -m tests.bench.fast_stand_in    prints the port it listens on and serves until its stdin closes
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.bench.stand_in import ANSWERS, dag

_DAG = json.dumps(dag(0)).encode()


class Canned(asyncio.Protocol):
    """Answers each GET as it comes; requests without a body, whole in one piece, are all it understands."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """One answer for each request in these bytes."""
        for request in data.split(b"\r\n\r\n")[:-1]:
            path = request.split(b" ", 2)[1].split(b"?")[0].decode()
            body = ANSWERS.get(path, _DAG)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)


async def main() -> None:
    """Serve until stdin closes, so that no stand-in outlives the one who started it."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
