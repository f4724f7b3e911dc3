"""The token endpoint of an OAuth issuer (RFC 6749, 3.2), called by a client with a secret."""

from __future__ import annotations

import base64
import json
import math
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

import anyio
import httpx2

from airflow_mcp.addresses import is_sheltered
from airflow_mcp.airflow.auth.auth_method import EARLY, LONGEST, AuthHeaders, build_bearer, is_token
from airflow_mcp.airflow.auth.backoff import Backoff
from airflow_mcp.airflow.connection_errors import CONNECTION_ERRORS
from airflow_mcp.airflow.response_body import read_body
from airflow_mcp.errors import LoginError, LoginRefusedError
from airflow_mcp.redact import MASK, redact_text
from airflow_mcp.text import clean, shorten

_REFUSALS = (400, 403)  # RFC 6749, 5.2, and what stands in front of some issuers
_SECONDS = 10.0  # for the whole answer: a caller waits for it
_LARGEST = 256 * 1024  # bytes


@dataclass(frozen=True)
class TokenEndpoint:
    """A token endpoint, and the client that calls it. `ca_file` is trusted beside the system's CAs."""

    url: str
    client_id: str
    client_secret: str = field(repr=False)
    ca_file: str = ""
    transport: httpx2.AsyncBaseTransport | None = None
    backoff: Backoff = field(default_factory=Backoff)  # of the client's secret, for all callers

    async def request_token(self, form: Mapping[str, str]) -> AuthHeaders:
        """Request an access token with this form; it is good until shortly before it expires. Raises LoginError.

        It is LoginRefusedError when the form is refused, and LoginOnHoldError when the client is, which is then on hold
        for all callers.
        """
        self.backoff.require_open()
        if not is_sheltered(self.url):
            raise LoginError(f"{self.url} is neither https nor on loopback, so no secret is sent there.")
        try:
            with anyio.fail_after(_SECONDS):
                start_time = anyio.current_time()
                status, body = await self._post(form)
        except TimeoutError:
            raise LoginError(f"The token endpoint {self.url} gave no answer within {_SECONDS:g} seconds.") from None
        except (*CONNECTION_ERRORS, httpx2.InvalidURL) as error:
            reason = shorten(redact_text(clean(str(error))), 200).rstrip(".") or type(error).__name__
            raise LoginError(f"The token endpoint {self.url} cannot be asked: {reason}.") from None
        answer = _parse_object(body)
        if status != 200:
            secrets = (form.get("subject_token", ""), self.client_secret, quote_plus(self.client_secret))
            sentence = f"The token endpoint {self.url} refuses ({status}): {_describe_reason(answer, secrets)}."
            if status == 401 or answer.get("error") == "invalid_client":
                raise self.backoff.refuse(LoginRefusedError(sentence))
            raise LoginRefusedError(sentence) if status in _REFUSALS else LoginError(sentence)
        self.backoff.reset()
        return self._read_token(answer, start_time)

    async def _post(self, form: Mapping[str, str]) -> tuple[int, bytes]:
        client = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"  # RFC 6749, 2.3.1
        headers = {
            "Authorization": f"Basic {base64.b64encode(client.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        async with (
            httpx2.AsyncClient(verify=self._trust(), timeout=_SECONDS, transport=self.transport) as http,
            http.stream("POST", self.url, content=urlencode(form), headers=headers) as response,
        ):
            body = await read_body(response, _LARGEST)
        if body is None:
            raise LoginError(f"The token endpoint {self.url} answers with more than a token.")
        return response.status_code, body

    def _trust(self) -> ssl.SSLContext | bool:
        if not self.ca_file:
            return True
        context = httpx2.create_ssl_context()
        context.load_verify_locations(self.ca_file)
        return context

    def _read_token(self, answer: dict[str, Any], began: float) -> AuthHeaders:
        token, kind, lifetime = answer.get("access_token"), answer.get("token_type", "Bearer"), answer.get("expires_in")
        if not isinstance(token, str) or not is_token(token):
            raise LoginError(f"The token endpoint {self.url} answers without an access token.")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise LoginError(f"The token endpoint {self.url} gives a token that is no bearer token.")
        return build_bearer(
            token, began + seconds - EARLY if (seconds := _parse_lifetime(lifetime)) is not None else math.inf
        )


def _parse_lifetime(lasts: Any) -> float | None:
    """Parse `expires_in`, a number that some issuers write as a text; return None without one (RFC 6749, 5.1)."""
    if isinstance(lasts, str) and lasts.isascii() and lasts.isdecimal() and len(lasts) < 12:
        lasts = int(lasts)
    if isinstance(lasts, bool) or not isinstance(lasts, int | float):
        return None
    return float(min(lasts, LONGEST))


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _describe_reason(answer: dict[str, Any], secrets: Collection[str]) -> str:
    """Describe the endpoint's reason for a refusal (RFC 6749, 5.2), with the secrets masked."""
    reason = " - ".join(str(answer[name]) for name in ("error", "error_description") if answer.get(name))
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        reason = reason.replace(secret, MASK)
    return shorten(redact_text(clean(reason)), 300).rstrip(".") or "it does not say why"
