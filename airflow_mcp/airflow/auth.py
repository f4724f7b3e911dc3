"""How a request proves who it is: basic (2.x), a JWT for user and password (3.x), a token, or a token command."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from subprocess import PIPE

import anyio

from airflow_mcp.catalog.versions import Generation
from airflow_mcp.errors import AirflowMcpError, LoginError
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten

_COMMAND_SECONDS = 30


@dataclass(frozen=True)
class Credentials:
    """What the operator configured; one of token, token_command and username with password, or nothing."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_command: tuple[str, ...] = ()

    def describe(self) -> str:
        """Who this is, for a person; never a secret."""
        if self.token:
            return "the token of AIRFLOW_MCP_TOKEN"
        if self.token_command:
            return "the token of AIRFLOW_MCP_TOKEN_COMMAND"
        return f"user {self.username!r}" if self.username else "no credentials"


# (username, password) -> JWT; both empty asks an Airflow that makes every visitor an admin. Raises LoginError.
PasswordLogin = Callable[[str, str], Awaitable[str]]


class Authenticator:
    """The current Authorization header of one Airflow, made and renewed once for all calls that wait for it."""

    def __init__(
        self, credentials: Credentials, password_login: PasswordLogin, renewing: Callable[[], None] = lambda: None
    ) -> None:
        """`renewing` is told whenever Airflow has refused a header and another is about to be made."""
        self._renewing = renewing
        self.credentials = credentials
        self._password_login = password_login
        self._header: str | None = None
        self._lock = anyio.Lock()
        self._failure: AirflowMcpError | None = None
        self._failed_at = 0.0

    async def header(self, generation: Generation, since: float) -> str:
        """The header value to send for a call that began at `since` (the event loop's clock, seconds).

        Raises LoginError when none can be had.
        """
        return self._header or await self._renew(None, generation, since)

    async def renew(self, stale: str, generation: Generation, since: float) -> str:
        """Another header than the one Airflow just refused. Raises LoginError when there is none.

        Calls that wait for a login share it, and its failure.
        """
        return await self._renew(stale, generation, since)

    async def _renew(self, stale: str | None, generation: Generation, since: float) -> str:
        async with self._lock:
            if self._header is not None and self._header != stale:
                return self._header
            if self._failure and since <= self._failed_at:  # many wrong logins in a row may lock the account
                raise self._failure.with_traceback(None)
            if stale is not None:
                self._renewing()
            try:
                self._header = await self._make(generation, refused=stale is not None)
            except AirflowMcpError as failure:
                self._header, self._failure = None, failure
                self._failed_at = anyio.current_time()
                raise
            self._failure = None
            return self._header

    async def _make(self, generation: Generation, *, refused: bool) -> str:
        given = self.credentials
        if given.token:
            if refused:
                raise LoginError(
                    "Airflow does not accept the token of AIRFLOW_MCP_TOKEN (any more): it may have expired. Put a new "
                    "one there and restart, or set AIRFLOW_MCP_TOKEN_COMMAND so that it renews itself."
                )
            return f"Bearer {given.token}"
        if given.token_command:
            return f"Bearer {await run_token_command(given.token_command)}"
        if generation == "v2":
            return f"Bearer {await self._password_login(given.username, given.password)}"
        if not given.username:
            raise LoginError(
                "Airflow wants to know who is asking and no credentials are set. Set AIRFLOW_MCP_USERNAME and "
                "AIRFLOW_MCP_PASSWORD, or AIRFLOW_MCP_TOKEN."
            )
        if refused:
            raise wrong_password(given.username)
        return basic_header(given)


def is_token(text: str) -> bool:
    """Whether a text can stand behind "Bearer " in a header: visible ASCII, without spaces (RFC 6750, 2.1)."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def basic_header(credentials: Credentials) -> str:
    """HTTP basic authentication (RFC 7617)."""
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def wrong_password(username: str) -> LoginError:
    """The error for a user and password that Airflow refuses."""
    return LoginError(
        f"Airflow does not accept user {username!r} with the configured password. Check AIRFLOW_MCP_USERNAME and "
        "AIRFLOW_MCP_PASSWORD; on Airflow 2.x also that [api] auth_backends has basic_auth."
    )


async def run_token_command(command: tuple[str, ...]) -> str:
    """The token a command prints; run without a shell, at most 30 seconds. Raises LoginError."""
    said = f"AIRFLOW_MCP_TOKEN_COMMAND ({command[0]})"
    try:
        with anyio.fail_after(_COMMAND_SECONDS):
            done = await anyio.run_process(list(command), check=False, stdout=PIPE, stderr=PIPE)
    except TimeoutError:
        raise LoginError(f"{said} gave no token within {_COMMAND_SECONDS} seconds. Run it by hand.") from None
    except OSError as error:
        raise LoginError(f"{said} cannot be run: {error.strerror or error}.") from None
    if done.returncode != 0:
        reason = shorten(redact_text(clean(done.stderr.decode(errors="replace"))).strip(), 200, keep_end=True)
        raise LoginError(f"{said} failed with exit code {done.returncode}. It says: {reason or 'nothing'}")
    token = done.stdout.decode(errors="replace").strip()
    if not is_token(token):
        raise LoginError(f"{said} must print one token and nothing else; it printed {len(token)} characters.")
    return token
