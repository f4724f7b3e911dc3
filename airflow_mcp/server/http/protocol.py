"""uvicorn's HTTP/1.1 protocol with bounds that it lacks.

uvicorn bounds neither how long headers may take, nor how many of them one segment may bring, nor how long an answer may
go unread, nor how many connections one peer may open.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Collection
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from airflow_mcp.addresses import derive_peer
from airflow_mcp.fair_share import SOLE_HOLDER, FairShare
from airflow_mcp.server.http.chunks import BoundedConnection
from airflow_mcp.server.http.gate import LARGEST_HEADERS, UNREAD_KEY

HEAD_SECONDS = 20.0  # that a request's headers may take
REST_SECONDS = 20.0  # that the rest of a body may take after its request was answered or could not be read
UNREAD_SECONDS = 60.0  # that an answer may wait for its client to read the next 48 KiB
_OWN_FILES = 64  # file descriptors beside clients' connections: for Airflow, the audit trail, the log
_MOST = 65_536  # connections, where the system has no limit


class BoundedProtocol(H11Protocol):
    """One connection. `proxies` are the addresses of trusted proxies, each of which serves many clients."""

    def __init__(self, proxies: Collection[str], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = BoundedConnection(LARGEST_HEADERS)
        self._proxies = proxies
        self._holder: str | None = None
        self._head = 0  # bytes of incomplete headers
        self._refused = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._rest_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol; a peer that has its share of connections gets no more."""
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        holder = SOLE_HOLDER if _is_among(host, self._proxies) else derive_peer(host)
        if not get_connections().take(holder):
            transport.abort()
            return
        self._holder = holder
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stop(self._head_timer, self._unread_timer, self._rest_timer)
        if self._holder is not None:
            get_connections().give_back(self._holder)
            self._holder = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol; feed possible headers to the parser in segments within the limit of headers."""
        while data and not self._refused and not self.transport.is_closing():
            segment = data
            if self.conn.their_state is h11.IDLE:
                segment = data[: LARGEST_HEADERS + 1 - self._head]
                self._head += len(segment)
            data = data[len(segment) :]
            super().data_received(segment)
            if self.conn.their_state is not h11.IDLE:
                self._head = 0
        if self.conn.their_state is h11.IDLE and not self._refused:
            self._expect_headers()
        else:
            self._stop(self._head_timer)
            self._head_timer = None
        if self._refused:
            return
        if self.conn.their_state is not h11.SEND_BODY:
            self._stop(self._rest_timer)
            self._rest_timer = None
        elif self.conn.our_state is h11.DONE:
            self._expect_rest()

    def send_400_response(self, msg: str) -> None:
        """Let the application refuse an unreadable request, so that it is counted and answered like any refusal.

        An application that waits for the rest of a body is woken up, with the status in the scope of its request.
        """
        del msg
        self._refused = True
        error = sys.exception()
        cycle: Any = self.cycle  # None before the first request
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        is_answering = cycle is not None and not cycle.response_complete
        if cycle is not None and not cycle.response_started and cycle.more_body:
            cycle.scope[UNREAD_KEY] = status
            cycle.keep_alive = False
            cycle.message_event.set()
            self._expect_rest()
            return
        if is_answering or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": "GET",
            "root_path": self.root_path,
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [],
            "state": self.app_state.copy(),
            UNREAD_KEY: status,
        }
        app: Any = self.app
        self.scope = scope
        self.cycle = RequestResponseCycle(
            scope=scope,
            conn=self.conn,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            on_response=self.on_response_complete,
        )
        self.cycle.more_body = False
        self.cycle.keep_alive = False
        task = self.loop.create_task(self.cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def pause_writing(self) -> None:
        """See asyncio.Protocol; an answer unread for 60 seconds ends its connection."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._stop(self._unread_timer)
        self._unread_timer = None
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: any client can ask for an upgrade, as often as it likes."""

    def _expect_headers(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _expect_rest(self) -> None:
        if self._rest_timer is None:
            self._rest_timer = self.loop.call_later(REST_SECONDS, self.transport.abort)

    @staticmethod
    def _stop(*timers: asyncio.TimerHandle | None) -> None:
        for timer in timers:
            if timer is not None:
                timer.cancel()


@cache
def get_connections() -> FairShare:
    """Return the shares of this process's connections by peer, created once."""
    return FairShare(count_connections())


def count_connections() -> int:
    """Return how many clients can be connected at once: the limit of open files, less 64 for the process itself."""
    if sys.platform == "win32":
        return _MOST
    import resource  # missing on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(min(soft, _MOST) - _OWN_FILES, 1)


def silence_uvicorn() -> None:
    """Drop uvicorn's log line about each unreadable request: the gate logs one a minute."""
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.msg != "Invalid HTTP request received.")


def _is_among(host: str, proxies: Collection[str]) -> bool:
    if "*" in proxies or host in proxies:
        return True
    try:
        address = ip_address(host)
        return any(address in ip_network(proxy, strict=False) for proxy in proxies)
    except ValueError:
        return False
