"""The caller's own Airflow token, as its client sends it in a header."""

from __future__ import annotations

from airflow_mcp.airflow.auth.auth_method import AuthHeaders, AuthMethod, AuthRequest, build_bearer, describe_ambiguity
from airflow_mcp.airflow.caller_credentials import CallerCredentials, CallerLogin, Identify
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.errors import LoginError, LoginRefusedError

HEADER = "X-Airflow-Token"


class CallerToken(AuthMethod):
    """A token that only its caller can renew."""

    def __init__(self, token: str, header: str) -> None:
        self._token = token
        self._header = header

    def describe(self) -> str:
        """See AuthMethod."""
        return f"the caller's token in {self._header}"

    def _build_refusal(self, generation: Generation | None) -> LoginRefusedError:
        return LoginRefusedError(
            f"Airflow does not accept the token that came with this call ({self._header}). It may have expired, or be "
            "for another Airflow. Its owner gets a new one from Airflow and puts it into the client's settings."
            f"{describe_ambiguity(generation)}"
        )

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod."""
        if request.refused:
            raise self._build_refusal(request.generation)
        return build_bearer(self._token)


def name_header(instance: str, *, alone: bool) -> str:
    """Name the header of a caller's token for this Airflow; with several Airflows, each has its own."""
    return HEADER if alone else f"{HEADER}-{instance}"


def identify_by_token(instance: str, *, alone: bool) -> Identify:
    """Make the function that identifies callers at this Airflow by the token that they send."""
    header = name_header(instance, alone=alone)

    def identify(credentials: CallerCredentials) -> CallerLogin:
        if not credentials.authenticated:
            raise LoginError(
                f'Airflow is asked in each caller\'s own name here (identity = "caller"), and {header} is taken only '
                "from who has proved to be somebody: serve over HTTP with tokens or OAuth. Over stdio, and on loopback "
                'without tokens, use identity = "service".'
            )
        token = credentials.tokens.get(instance, "")
        if not token:
            raise LoginError(
                "Airflow is asked in your own name here, and this call brought no token of Airflow's. Have your client "
                f"send one in the header {header}."
            )
        return CallerLogin(token, CallerToken(token, header))

    return identify
