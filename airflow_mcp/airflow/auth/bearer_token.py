"""A bearer token that the operator configured, or that a command prints."""

from __future__ import annotations

from subprocess import PIPE

import anyio

from airflow_mcp.airflow.auth.auth_method import (
    AuthHeaders,
    AuthMethod,
    AuthRequest,
    build_bearer,
    describe_ambiguity,
    is_token,
)
from airflow_mcp.errors import LoginError, LoginRefusedError
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten

_COMMAND_SECONDS = 30


class StaticToken(AuthMethod):
    """A configured token, which this server cannot renew."""

    def __init__(self, token: str) -> None:
        self._token = token

    def describe(self) -> str:
        """See AuthMethod."""
        return "the token of AIRFLOW_MCP_TOKEN"

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod."""
        if request.refused:
            raise LoginRefusedError(
                "Airflow does not accept the token of AIRFLOW_MCP_TOKEN (any more): it may have expired. Put a new "
                "one there and restart, or set AIRFLOW_MCP_TOKEN_COMMAND so that it renews itself."
                f"{describe_ambiguity(request.generation)}"
            )
        return build_bearer(self._token)


class CommandToken(AuthMethod):
    """A token that a command prints; the command runs again when Airflow refuses the last token."""

    rotates = True
    advice = "What the command prints is presented once; another token than that is taken at once."

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command

    def describe(self) -> str:
        """See AuthMethod."""
        return "the token of AIRFLOW_MCP_TOKEN_COMMAND"

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod."""
        del request
        return build_bearer(await _run(self._command))


async def _run(command: tuple[str, ...]) -> str:
    """Run a command and return the token that it prints; without a shell, for at most 30 seconds. Raises LoginError."""
    command_name = f"AIRFLOW_MCP_TOKEN_COMMAND ({command[0]})"
    try:
        with anyio.fail_after(_COMMAND_SECONDS):
            process = await anyio.run_process(list(command), check=False, stdout=PIPE, stderr=PIPE)
    except TimeoutError:
        raise LoginError(f"{command_name} gave no token within {_COMMAND_SECONDS} seconds. Run it by hand.") from None
    except OSError as error:
        raise LoginError(f"{command_name} cannot be run: {error.strerror or error}.") from None
    if process.returncode != 0:
        reason = shorten(redact_text(clean(process.stderr.decode(errors="replace"))).strip(), 200, keep_end=True)
        raise LoginError(f"{command_name} failed with exit code {process.returncode}. It says: {reason or 'nothing'}")
    token = process.stdout.decode(errors="replace").strip()
    if not is_token(token):
        raise LoginError(f"{command_name} must print one token and nothing else; it printed {len(token)} characters.")
    return token
