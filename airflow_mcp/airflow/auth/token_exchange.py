"""Token exchange (RFC 8693): the issuer of the caller's OAuth token gives another one for Airflow in exchange."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mcp.airflow.auth.airflow_login import log_in
from airflow_mcp.airflow.auth.auth_method import AuthHeaders, AuthMethod, AuthRequest
from airflow_mcp.airflow.auth.token_endpoint import TokenEndpoint
from airflow_mcp.airflow.caller_credentials import CallerCredentials, CallerLogin, Identify
from airflow_mcp.errors import LoginError, LoginRefusedError

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, RFC 8693, 3


@dataclass(frozen=True)
class TokenExchange:
    """The endpoint of an exchange, and what its tokens are for (RFC 8693, 2.1)."""

    endpoint: TokenEndpoint
    audience: str = ""
    scope: str = ""
    logs_in: bool = False  # at Airflow with the exchanged token, for Airflow's own

    def build_form(self, subject: str) -> dict[str, str]:
        """Build the form that requests a token for the user whom the token `subject` identifies."""
        parameters = {"audience": self.audience, "scope": self.scope}
        return {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": subject,
            "subject_token_type": _ACCESS_TOKEN,
            "requested_token_type": _ACCESS_TOKEN,
            **{name: value for name, value in parameters.items() if value},
        }


class ExchangedToken(AuthMethod):
    """A token that a caller's own is exchanged for; the caller's token itself never goes to Airflow."""

    advice = (
        "The operator of this server checks that Airflow trusts the issuer, and that exchange_audience and "
        "exchange_scope are what it wants."
    )

    def __init__(self, exchange: TokenExchange, subject: str) -> None:
        self._exchange = exchange
        self._subject = subject

    def describe(self) -> str:
        """See AuthMethod."""
        return "the token that the caller's was exchanged for"

    def retry(self) -> None:
        """See AuthMethod."""
        self._exchange.endpoint.backoff.reset()

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod."""
        headers = await self._exchange.endpoint.request_token(self._exchange.build_form(self._subject))
        if headers.headers["Authorization"] == f"Bearer {self._subject}":
            raise LoginError(
                f"The token endpoint {self._exchange.endpoint.url} gives the caller's own token back, and that one is "
                "for this server alone: have it give tokens for Airflow (exchange_audience)."
            )
        return await self._log_in(headers, request) if self._exchange.logs_in else headers

    async def _log_in(self, exchanged: AuthHeaders, request: AuthRequest) -> AuthHeaders:
        """Log in to Airflow with the exchanged token (RFC 7523, 2.1, as Keycloak's auth manager takes it)."""
        if request.generation != "v2":
            raise LoginError("exchange_login is for Airflow 3 with Keycloak's auth manager, which this is not.")
        assertion = exchanged.headers["Authorization"].removeprefix("Bearer ")
        login = await log_in(request.send_plain, {"grant_type": _JWT_BEARER, "assertion": assertion})
        if isinstance(login, AuthHeaders):
            return login
        raise LoginRefusedError(
            f"Airflow's login (/auth/token) refuses what the caller's token was exchanged for ({login}): the operator "
            "checks that its audience has Airflow's client, and that [keycloak_auth_manager] jwt_federated_client_ids "
            "names this server's."
        )


def identify_by_exchange(exchange: TokenExchange) -> Identify:
    """Make the function that identifies callers at this Airflow by what their OAuth tokens are exchanged for."""

    def identify(credentials: CallerCredentials) -> CallerLogin:
        if not credentials.issued:
            token_kind = "an operator's token ([tokens])" if credentials.authenticated else "nobody's token"
            raise LoginError(
                'Airflow is asked in each caller\'s own name here (identity = "exchange"), and only an access token of '
                f"the OAuth issuer can be exchanged: this call came with {token_kind}."
            )
        return CallerLogin(credentials.issued, ExchangedToken(exchange, credentials.issued))

    return identify
