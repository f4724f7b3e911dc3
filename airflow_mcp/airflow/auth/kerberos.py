"""Kerberos for Airflow 2.x (SPNEGO over HTTP, RFC 4559): a ticket of this server's principal for every request."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from airflow_mcp.airflow.auth.auth_method import SINGLE_USE, AuthHeaders, AuthMethod, AuthRequest
from airflow_mcp.airflow.auth.blocking_login import run_in_thread
from airflow_mcp.airflow.auth.extras import require_library
from airflow_mcp.errors import LoginError, LoginRefusedError
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten

# (host, service) -> the first token of a new security context. Raises LoginError.
Ticket = Callable[[str, str], bytes]


def _request_ticket(host: str, service: str) -> bytes:
    import spnego  # imports cryptography, so only when it is used
    from spnego.exceptions import SpnegoError

    try:
        context = spnego.client(hostname=host, service=service, protocol="kerberos")
        token = context.step()
    except (SpnegoError, ImportError, OSError, ValueError) as error:
        cause = shorten(redact_text(clean(str(error))), 300).rstrip(".")
        kind = LoginRefusedError if isinstance(error, SpnegoError) else LoginError
        raise kind(
            f"Kerberos gives no ticket for {service}@{host}: {cause}. Give this server one, as with kinit -k -t KEYTAB "
            "PRINCIPAL, or name its keytab in KRB5_CLIENT_KTNAME."
        ) from None
    if not token:
        raise LoginError(f"Kerberos gives no ticket for {service}@{host}.")
    return token


class Kerberos(AuthMethod):
    """The principal whose tickets this server holds. A server takes each ticket only once."""

    def __init__(self, url: str, service: str = "", ticket: Ticket | None = None) -> None:
        """`url` is Airflow's, whose host is part of its principal. Raises SettingsError."""
        if ticket is None:
            require_library("kerberos", "kerberos", "spnego")
        self._host = urlsplit(url).hostname or ""
        self._service = service or "HTTP"
        self._ticket = ticket or _request_ticket

    def describe(self) -> str:
        """See AuthMethod."""
        return f"the Kerberos principal of this server (for {self._service}@{self._host})"

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod."""
        if request.generation == "v2":
            raise LoginError(
                'Airflow 3 knows no Kerberos, which auth = "kerberos" is for: docs/airflows.md has what it knows.'
            )
        token = await run_in_thread(partial(self._ticket, self._host, self._service), "Kerberos, asked for a ticket,")
        return AuthHeaders({"Authorization": f"Negotiate {base64.b64encode(token).decode()}"}, SINGLE_USE)
