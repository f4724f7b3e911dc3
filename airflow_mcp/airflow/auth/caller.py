"""The caller's own Airflow token, as its client sends it in a header."""

from __future__ import annotations

from airflow_mcp.airflow.auth.method import Asked, Proof, Way, bearer, or_blind
from airflow_mcp.airflow.callers import Identify, Own, Presented
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.errors import LoginError, LoginRefusedError

HEADER = "X-Airflow-Token"


class CallersToken(Way):
    """A token that only its caller can renew."""

    def __init__(self, token: str, header: str) -> None:
        self._token = token
        self._header = header

    def describe(self) -> str:
        """See Way."""
        return f"the caller's token in {self._header}"

    def _not_accepted(self, generation: Generation | None) -> LoginRefusedError:
        return LoginRefusedError(
            f"Airflow does not accept the token that came with this call ({self._header}). It may have expired, or be "
            "for another Airflow. Its owner gets a new one from Airflow and puts it into the client's settings."
            f"{or_blind(generation)}"
        )

    async def prove(self, asked: Asked) -> Proof:
        """See Way."""
        if asked.refused:
            raise self._not_accepted(asked.generation)
        return bearer(self._token)


def header_of(instance: str, *, alone: bool) -> str:
    """The header with a caller's token for this Airflow; with several, each has its own."""
    return HEADER if alone else f"{HEADER}-{instance}"


def by_callers_token(instance: str, *, alone: bool) -> Identify:
    """Callers are known at this Airflow by the token that they send."""
    header = header_of(instance, alone=alone)

    def identify(presented: Presented) -> Own:
        if not presented.authenticated:
            raise LoginError(
                f'Airflow is asked in each caller\'s own name here (identity = "caller"), and {header} is taken only '
                "from who has proved to be somebody: serve over HTTP with tokens or OAuth. Over stdio, and on loopback "
                'without tokens, use identity = "service".'
            )
        token = presented.tokens.get(instance, "")
        if not token:
            raise LoginError(
                "Airflow is asked in your own name here, and this call brought no token of Airflow's. Have your client "
                f"send one in the header {header}."
            )
        return Own(token, CallersToken(token, header))

    return identify
