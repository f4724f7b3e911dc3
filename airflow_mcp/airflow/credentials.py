"""The login of one Airflow: a proof of who is asking, made and renewed once for all calls that wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from airflow_mcp.airflow.auth.backoff import Backoff, Clock
from airflow_mcp.airflow.auth.method import ONCE, Asked, Plain, Proof, Way
from airflow_mcp.airflow.auth.password import Password
from airflow_mcp.airflow.auth.tokens import GivenToken, PrintedToken
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.errors import AirflowMcpError, LoginOnHoldError, LoginRefusedError


@dataclass(frozen=True)
class Credentials:
    """What the operator configured; one of token, token_command and username with password, or nothing."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_command: tuple[str, ...] = ()

    @property
    def way(self) -> Way:
        """How these prove who is asking."""
        if self.token:
            return GivenToken(self.token)
        if self.token_command:
            return PrintedToken(self.token_command)
        return Password(self.username, self.password)


class Authenticator:
    """The current proof of one identity at one Airflow, and the rest of a login that was refused."""

    def __init__(
        self, way: Way, plain: Plain, renewing: Callable[[], None] = lambda: None, clock: Clock = time.monotonic
    ) -> None:
        """`renewing` is told whenever Airflow has refused a proof and another is about to be made."""
        self.way = way
        self._plain = plain
        self._renewing = renewing
        self._proof: Proof | None = None
        self._made_at = 0.0
        self._lock = anyio.Lock()
        self._failure: AirflowMcpError | None = None
        self._failed_at = 0.0
        self._backoff = Backoff(clock)
        self._refused: Proof | None = None  # what Airflow refused last

    async def proof(self, generation: Generation | None, since: float) -> Proof:
        """The proof to send with a call that began at `since` (the event loop's clock, seconds).

        Raises LoginError, or another AirflowMcpError, when none can be had.
        """
        return self._fresh() or await self._renew(None, generation, since)

    async def renew(self, stale: Proof, generation: Generation, since: float) -> Proof:
        """Another proof than the one Airflow just refused. Raises what `proof` raises when there is none.

        Calls that wait for a login share it, and its failure.
        """
        return await self._renew(stale, generation, since)

    def latest(self, proof: Proof) -> Proof:
        """The proof that is in use by now, where this one was waiting: it may have been refused to others meanwhile."""
        return proof if proof.until == ONCE or self._proof is None else self._proof

    def accept(self) -> None:
        """Airflow has taken a proof: what was refused before counts no more."""
        self._backoff.reset()

    def refuse(self, proof: Proof, sentence: str) -> LoginOnHoldError:
        """Airflow has refused a new proof too: the error to raise, and nothing is presented again for a while."""
        self._proof, self._refused = None, proof
        return self._backoff.refuse(LoginRefusedError(sentence))

    def retry(self) -> None:
        """Let a login that was refused be tried again with the next call."""
        self._failure = None
        self._backoff.reset()
        self.way.retry()

    def _fresh(self) -> Proof | None:
        return self._proof if self._proof and self._proof.until > anyio.current_time() else None

    async def _renew(self, stale: Proof | None, generation: Generation | None, since: float) -> Proof:
        async with self._lock:
            # Made since this call began is fresh enough, even where it lasts for a moment only.
            shared = self._fresh() or (self._proof if self._made_at >= since else None)
            if shared and shared is not stale and shared.until != ONCE:
                return shared
            if self._failure and since <= self._failed_at:  # many wrong logins in a row may lock the account
                raise self._failure.with_traceback(None)
            if not self.way.changes_by_itself:
                self._backoff.require_open()
            if stale is not None:
                self._renewing()
            try:
                self._proof = await self._another(stale, Asked(generation, stale is not None, self._plain))
                self._made_at = anyio.current_time()
            except AirflowMcpError as failure:
                self._proof, self._refused = None, stale or self._refused
                self._failure = self._backoff.refuse(failure) if isinstance(failure, LoginRefusedError) else failure
                self._failed_at = anyio.current_time()
                raise self._failure from None
            self._failure = None
            return self._proof

    async def _another(self, stale: Proof | None, asked: Asked) -> Proof:
        """A new proof. Where its secret changes by itself, one that was just refused is not presented again."""
        proof = await self.way.prove(asked)
        if not self.way.changes_by_itself:
            return proof
        if stale is not None and proof == stale:
            raise LoginRefusedError(f"Airflow refuses {self.way.describe()}. {self.way.advice}")
        if proof == self._refused:
            self._backoff.require_open()
        else:
            self._backoff.reset()
        return proof
