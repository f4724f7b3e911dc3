"""Detect which Airflow answers: generation v1 (2.x) or v2 (3.x), and its version, which an upgrade may change."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress

import anyio

from airflow_mcp.catalog.versions import OLDEST, Generation, Version
from airflow_mcp.errors import AirflowError, AirflowMcpError, LoginError, NotSupportedError

Get = Callable[[str], Awaitable[tuple[int, bytes]]]
_log = logging.getLogger(__name__)
_LASTS = 600.0  # seconds for which a version is taken as the current one
_PAUSE = 60.0  # seconds between two requests because of doubt, or after one that failed


class VersionDetection:
    """The version of one Airflow, shared by all its clients: requested when it is needed, old, or in doubt."""

    def __init__(self, instance: str = "default", clock: Callable[[], float] = time.monotonic) -> None:
        """`instance` is the name of this Airflow in the log; `clock` gives seconds that never go back."""
        self.known: Version | None = None
        self._instance = instance
        self._clock = clock
        self._next = -math.inf  # when to ask again
        self._next_doubt = -math.inf  # when doubt may ask again
        self._asking = anyio.Lock()
        self._failure: AirflowMcpError | None = None
        self._failed_at = 0.0  # by the event loop's clock, as calls that wait for an answer compare it
        self._failed_for: object = None
        self._login_rests_until = -math.inf  # of that requester
        self._listeners: list[Callable[[], None]] = []

    @contextmanager
    def subscribe(self, listener: Callable[[], None]) -> Generator[None]:
        """Call `listener` within the block whenever this Airflow turns out to have another version than before."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def version(self, get: Get, requester: object) -> Version:
        """Return the version, requested if none is known or the last answer is ten minutes old.

        Raises what `detect` raises. Calls that wait for the first answer share its failure, except for a failed login
        of another requester. When a later request fails, the previous version holds: the call itself will show what is
        wrong.
        """
        start_time = anyio.current_time()
        while self.known is None:
            async with self._asking:
                if self.known is not None:
                    break
                is_foreign_login = isinstance(self._failure, LoginError) and self._failed_for is not requester
                if self._failure and start_time <= self._failed_at and not is_foreign_login:
                    raise self._failure.with_traceback(None)
                return await self._ask(get, requester)
        if self._is_due(requester):
            async with self._asking:
                if self._is_due(requester):
                    with suppress(AirflowMcpError):
                        await self._ask(get, requester)
        return self.known

    async def doubt(self, get: Get, requester: object) -> None:
        """Request the version because an answer did not look like one of this version's; at most once a minute."""
        async with self._asking:
            if self._clock() >= self._next_doubt:
                self._next_doubt = self._clock() + _PAUSE
                with suppress(AirflowMcpError):
                    await self._ask(get, requester)

    async def ask(self, get: Get, requester: object) -> Version:
        """Request the version now. Raises what `detect` raises."""
        async with self._asking:
            return await self._ask(get, requester)

    def _is_due(self, requester: object) -> bool:
        now = self._clock()
        return now >= self._next and (self._failed_for is not requester or now >= self._login_rests_until)

    async def _ask(self, get: Get, requester: object) -> Version:
        due_time, self._next = self._next, self._clock() + _PAUSE  # the requester may be cancelled before the answer
        try:
            version = await detect(get)
        except AirflowMcpError as error:
            self._failure, self._failed_at, self._failed_for = error, anyio.current_time(), requester
            if isinstance(error, LoginError):  # another requester's login may be good enough
                self._next, self._login_rests_until = due_time, self._next
            raise
        self._failure = None
        self._next = self._clock() + _LASTS
        previous_version, self.known = self.known, version
        if previous_version not in (None, version):
            _log.warning(
                "%s: Airflow is %s now, and was %s: its tools and routes follow.",
                self._instance,
                version,
                previous_version,
            )
            for listener in self._listeners:
                listener()
        return version


async def detect(get: Get) -> Version:
    """Request /api/v2/version, then /api/v1/version; `get(path)` returns status and content.

    Raises NotSupportedError below Airflow 2.7, LoginError where even the version requires a login and that failed, and
    AirflowError when neither answers like an Airflow.
    """
    generations: tuple[Generation, ...] = ("v2", "v1")
    status = worst_status = 0
    for generation in generations:
        status, content = await get(f"/api/{generation}/version")
        if status == 200 and (version := _parse(content)):
            if version < OLDEST["v1"]:
                raise NotSupportedError(f"This is Airflow {version}; airflow-mcp supports Airflow 2.7 and newer.")
            return version
        worst_status = max(worst_status, status)
    if status in (401, 403):
        raise LoginError(f"What answers at AIRFLOW_MCP_URL wants a login before it says anything ({status}).")
    if worst_status >= 500:
        raise AirflowError(
            f"What answers at AIRFLOW_MCP_URL fails ({worst_status}): Airflow may be starting or down.", worst_status
        )
    raise AirflowError(
        f"What answers at AIRFLOW_MCP_URL is not Airflow's API (status {status} for its version). The address is the "
        "one a browser opens Airflow at, with its path prefix if it has one.",
        status,
    )


def _parse(content: bytes) -> Version | None:
    try:
        return Version.parse(json.loads(content)["version"])
    except (ValueError, KeyError, TypeError):
        return None
