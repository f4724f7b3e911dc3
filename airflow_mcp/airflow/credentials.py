"""The login of one Airflow: headers that authenticate, made and renewed once for all calls that wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from airflow_mcp.airflow.auth.auth_method import SINGLE_USE, AuthHeaders, AuthMethod, AuthRequest, SendPlain
from airflow_mcp.airflow.auth.backoff import Backoff, Clock
from airflow_mcp.airflow.auth.bearer_token import CommandToken, StaticToken
from airflow_mcp.airflow.auth.password import Password
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.errors import AirflowMcpError, LoginOnHoldError, LoginRefusedError


@dataclass(frozen=True)
class Credentials:
    """The operator's configuration: a token, a token_command, a username with password, or nothing."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_command: tuple[str, ...] = ()

    @property
    def method(self) -> AuthMethod:
        """The login method for these credentials."""
        if self.token:
            return StaticToken(self.token)
        if self.token_command:
            return CommandToken(self.token_command)
        return Password(self.username, self.password)


class Authenticator:
    """The current headers of one identity at one Airflow, and the pause after a refused login."""

    def __init__(
        self,
        method: AuthMethod,
        send_plain: SendPlain,
        on_renewal: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        """`on_renewal` is called whenever Airflow has refused the headers and new ones are about to be made."""
        self.method = method
        self._send_plain = send_plain
        self._on_renewal = on_renewal
        self._headers: AuthHeaders | None = None
        self._made_at = 0.0
        self._lock = anyio.Lock()
        self._failure: AirflowMcpError | None = None
        self._failed_at = 0.0
        self._backoff = Backoff(clock)
        self._refused: AuthHeaders | None = None  # the headers that Airflow refused last

    async def get_headers(self, generation: Generation | None, since: float) -> AuthHeaders:
        """Return the headers for a call that began at `since` (the event loop's clock, seconds).

        Raises LoginError, or another AirflowMcpError, when the method gives none.
        """
        return self._get_valid() or await self._renew(None, generation, since)

    async def renew(self, stale: AuthHeaders, generation: Generation, since: float) -> AuthHeaders:
        """Return other headers than those that Airflow just refused. Raises what `get_headers` raises.

        Calls that wait for a login share it, and its failure.
        """
        return await self._renew(stale, generation, since)

    def get_latest(self, headers: AuthHeaders) -> AuthHeaders:
        """Return the headers in use by now: while this call waited, its own may have been refused to others."""
        return headers if headers.expires_at == SINGLE_USE or self._headers is None else self._headers

    def accept(self) -> None:
        """Note that Airflow accepted the headers, and forget the earlier refusals."""
        self._backoff.reset()

    def refuse(self, headers: AuthHeaders, sentence: str) -> LoginOnHoldError:
        """Note that Airflow refused new headers too, put the login on hold, and return the error to raise."""
        self._headers, self._refused = None, headers
        return self._backoff.refuse(LoginRefusedError(sentence))

    def retry(self) -> None:
        """Allow a refused login to be tried again with the next call."""
        self._failure = None
        self._backoff.reset()
        self.method.retry()

    def _get_valid(self) -> AuthHeaders | None:
        return self._headers if self._headers and self._headers.expires_at > anyio.current_time() else None

    async def _renew(self, stale: AuthHeaders | None, generation: Generation | None, since: float) -> AuthHeaders:
        async with self._lock:
            # Headers made since this call began are fresh enough, even if they last only for a moment.
            shared_headers = self._get_valid() or (self._headers if self._made_at >= since else None)
            if shared_headers and shared_headers is not stale and shared_headers.expires_at != SINGLE_USE:
                return shared_headers
            if self._failure and since <= self._failed_at:  # many wrong logins in a row may lock the account
                raise self._failure.with_traceback(None)
            if not self.method.rotates:
                self._backoff.require_open()
            if stale is not None:
                self._on_renewal()
            try:
                self._headers = await self._request_another(
                    stale, AuthRequest(generation, stale is not None, self._send_plain)
                )
                self._made_at = anyio.current_time()
            except AirflowMcpError as failure:
                self._headers, self._refused = None, stale or self._refused
                self._failure = self._backoff.refuse(failure) if isinstance(failure, LoginRefusedError) else failure
                self._failed_at = anyio.current_time()
                raise self._failure from None
            self._failure = None
            return self._headers

    async def _request_another(self, stale: AuthHeaders | None, request: AuthRequest) -> AuthHeaders:
        """Make new headers. If the method's secret rotates, headers that were just refused are not presented again."""
        headers = await self.method.authenticate(request)
        if not self.method.rotates:
            return headers
        if stale is not None and headers == stale:
            raise LoginRefusedError(f"Airflow refuses {self.method.describe()}. {self.method.advice}")
        if headers == self._refused:
            self._backoff.require_open()
        else:
            self._backoff.reset()
        return headers
