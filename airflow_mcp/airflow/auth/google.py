"""Google: an access token for Cloud Composer, or an ID token for an Airflow behind Identity-Aware Proxy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import anyio

from airflow_mcp.airflow.auth.auth_method import AuthHeaders, AuthMethod, AuthRequest, build_bearer, is_token
from airflow_mcp.airflow.auth.blocking_login import run_in_thread
from airflow_mcp.airflow.auth.extras import require_library
from airflow_mcp.errors import LoginError, LoginRefusedError
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_EARLY = 60.0  # seconds before its expiry at which a token is replaced


class Google(AuthMethod):
    """Google's application default credentials, as `google-auth` finds them where this server runs."""

    def __init__(self, audience: str = "") -> None:
        """`audience` is the client id of IAP; without it the token is for Composer. Raises SettingsError."""
        require_library("google", "google", "google.auth", "requests")
        self._audience = audience
        self._credentials: Any = None

    def describe(self) -> str:
        """See AuthMethod."""
        return "Google's application default credentials" + (" (ID token)" if self._audience else "")

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod."""
        del request
        token, seconds = await run_in_thread(self._fetch, "Google, asked for a token,")
        return build_bearer(token, anyio.current_time() + seconds - _EARLY)

    def _fetch(self) -> tuple[str, float]:
        """Fetch a new token, and the seconds that it lasts. Raises LoginError."""
        import google.auth  # takes 0.2 s, so only when it is used
        from google.auth.exceptions import GoogleAuthError, RefreshError
        from google.auth.transport.requests import Request
        from google.oauth2.id_token import fetch_id_token_credentials

        credentials = self._credentials
        try:
            request = Request()
            if credentials is None and self._audience:
                credentials = fetch_id_token_credentials(self._audience, request)
            elif credentials is None:
                credentials, _ = google.auth.default(scopes=[_SCOPE], request=request)
            credentials.refresh(request)
        except (GoogleAuthError, ValueError, OSError) as error:
            self._credentials = None  # the environment's credentials may be corrected meanwhile
            cause = shorten(redact_text(clean(str(error.args[0] if error.args else error))), 300).rstrip(".")
            kind = LoginRefusedError if isinstance(error, RefreshError) and not error.retryable else LoginError
            raise kind(
                f"Google gives no token ({cause}). Where this server runs, set GOOGLE_APPLICATION_CREDENTIALS to the "
                "key file of a service account, or give it one."
            ) from None
        self._credentials = credentials
        token, expiry = credentials.token, credentials.expiry
        if not isinstance(token, str) or not is_token(token):
            raise LoginError("Google's credentials came without a token.")
        # google-auth's times are UTC, without a timezone
        lifetime = (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() if expiry else 3600.0
        return token, lifetime
