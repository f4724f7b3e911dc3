"""The limit on concurrent requests to one Airflow, and its fair division among the callers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import anyio

from airflow_mcp.errors import AirflowUnreachableError
from airflow_mcp.fair_share import SOLE_HOLDER, FairShare

_IN_FLIGHT = 8  # concurrent requests: an Airflow has few workers, and others use it too
_STREAMS = 4  # of them, bodies read in pieces: a log may take two minutes


@dataclass(eq=False)
class _QueuedRequest:
    holder: str
    stream: bool
    number: int  # in the order of arrival
    turn: anyio.Event = field(default_factory=anyio.Event)


class ConcurrencyLimit:
    """The places of one Airflow. Each caller has a share of them; callers with the fewest places are served first."""

    def __init__(self, url: str, patience: float) -> None:
        """`patience` is the seconds that a request waits for a place."""
        self._url = url
        self._patience = patience
        self._all = FairShare(_IN_FLIGHT)
        self._streams = FairShare(_STREAMS)
        self._numbers = count()
        self._waiting: dict[tuple[str, bool], dict[_QueuedRequest, None]] = {}  # by holder, and whether for a stream

    @asynccontextmanager
    async def acquire(self, holder: str = SOLE_HOLDER, *, stream: bool = False) -> AsyncGenerator[None, None]:
        """Hold a place for the block, within the share of `holder`.

        Raises AirflowUnreachableError when none becomes free in time.
        """
        await self._take(_QueuedRequest(holder, stream, next(self._numbers)))
        try:
            yield
        finally:
            self._give_back(holder, stream)

    async def _take(self, request: _QueuedRequest) -> None:
        self._waiting.setdefault((request.holder, request.stream), {})[request] = None
        self._serve()
        try:
            with anyio.fail_after(self._patience):
                await request.turn.wait()
        except TimeoutError:
            if request.turn.is_set():  # the place came at the moment of the timeout
                return
            self._leave(request)
            raise AirflowUnreachableError(
                f"Airflow at {self._url} is busy with requests of this server, {_IN_FLIGHT} at once of which each "
                f"caller has a share, and no turn came within {self._patience:g} seconds. Nothing was sent: try again "
                "in a moment, or ask for less at once."
            ) from None
        except BaseException:  # the caller was cancelled
            if request.turn.is_set():
                self._give_back(request.holder, request.stream)
            else:
                self._leave(request)
            raise

    def _leave(self, request: _QueuedRequest) -> None:
        """Remove the request from its queue."""
        key = request.holder, request.stream
        del self._waiting[key][request]
        if not self._waiting[key]:
            del self._waiting[key]

    def _give_back(self, holder: str, stream: bool) -> None:
        for places in self._list_shares(stream):
            places.give_back(holder)
        self._serve()

    def _serve(self) -> None:
        """Give free places to waiting requests: to the holder with the fewest places first, then by arrival."""
        while ready_requests := [
            next(iter(queue))
            for (holder, stream), queue in self._waiting.items()
            if all(places.fits(holder) for places in self._list_shares(stream))
        ]:
            next_request = min(ready_requests, key=lambda one: (self._all.count_places(one.holder), one.number))
            for places in self._list_shares(next_request.stream):
                places.take(next_request.holder)
            self._leave(next_request)
            next_request.turn.set()

    def _list_shares(self, stream: bool) -> tuple[FairShare, ...]:
        return (self._all, self._streams) if stream else (self._all,)
