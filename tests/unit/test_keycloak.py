"""auth = "keycloak": Airflow's own login takes a client's secret, and its JWT ends with Keycloak's token inside."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from airflow_mcp.airflow.auth.airflow_login import read_lifetime
from tests.http.upstream import upstream
from tests.unit.connected import connected
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent

pytestmark = pytest.mark.anyio
SETTINGS = {"auth": "keycloak", "token_client_id": "airflow", "token_client_secret": "s3cret"}
KEY = "a-key-of-the-stand-in-which-nobody-checks"


def jwt_of(seconds: float, **more: Any) -> str:
    now = int(time.time())
    return jwt.encode({"iat": now, "exp": now + seconds, **more}, KEY)


class Guarded:
    """Airflow 3.3 with Keycloak's auth manager: the secret of its own client gets a JWT, another one's gets 403."""

    def __init__(self, keycloak_seconds: float = 300) -> None:
        self.logins: list[Any] = []
        self.given: list[str] = []
        self.ended: set[str] = set()
        self._seconds = keycloak_seconds
        self.airflow = FakeAirflow().on("POST", "/auth/token", self._log_in).on("GET", "/dags", self._dags)

    def _log_in(self, sent: Sent) -> Reply:
        self.logins.append(sent.body)
        right = {"grant_type": "client_credentials", "client_id": "airflow", "client_secret": "s3cret"}
        if sent.body != right:
            return Reply(403, {"detail": "Client credentials authentication failed"})
        within = jwt_of(self._seconds, azp="airflow")
        self.given.append(jwt_of(86_400, user_id="x", access_token=within, jti=str(len(self.given))))
        return Reply(201, {"access_token": self.given[-1]})

    def _dags(self, sent: Sent) -> Reply:
        token = sent.headers.get("authorization", "").removeprefix("Bearer ")
        good = token in self.given and token not in self.ended
        return Reply(200, {"dags": [], "total_entries": 0}) if good else Reply(401, {"detail": "Invalid JWT token"})


@pytest.mark.parametrize(("seconds", "logins"), [(300, 1), (5, 3)])
async def test_one_login_serves_until_keycloaks_token_within_is_about_to_end(seconds: float, logins: int) -> None:
    guarded = Guarded(seconds)
    with upstream(guarded.airflow) as served:
        async with connected(url=served.url, **SETTINGS) as someone:
            for _ in range(3):
                await someone.ask("list_dags")
    assert len(guarded.logins) == logins


async def test_a_login_that_airflow_refuses_later_is_made_again() -> None:
    guarded = Guarded()
    with upstream(guarded.airflow) as served:
        async with connected(url=served.url, **SETTINGS) as someone:
            await someone.ask("list_dags")
            guarded.ended |= {*guarded.given}
            await someone.ask("list_dags")
    assert len(guarded.logins) == 2


async def test_another_client_than_airflows_own_is_told_so() -> None:
    guarded = Guarded()
    with upstream(guarded.airflow) as served:
        async with connected(url=served.url, **SETTINGS | {"token_client_id": "mine"}) as someone:
            sentence = await someone.refused("list_dags")
    assert "refuses the Keycloak client 'mine' (403)" in sentence
    assert "[keycloak_auth_manager] client_id" in sentence
    assert "s3cret" not in sentence


async def test_airflow_2_is_told_to_have_no_such_login() -> None:
    with upstream(FakeAirflow("2.11.2")) as served:
        async with connected(url=served.url, **SETTINGS) as someone:
            assert "is for Airflow 3" in await someone.refused("list_dags")


@pytest.mark.parametrize(
    ("token", "seconds"),
    [
        (jwt.encode({"iat": 100, "exp": 400}, KEY), 300),
        (jwt.encode({"iat": 100, "exp": 400, "access_token": jwt.encode({"iat": 0, "exp": 60}, KEY)}, KEY), 60),
        (jwt.encode({"exp": 400}, KEY), float("inf")),
        (jwt.encode({"iat": 0, "exp": 10**400}, KEY), 10**9),
        (jwt.encode({"iat": "x", "exp": []}, KEY), float("inf")),
        ("a.b.c", float("inf")),
        ("opaque", float("inf")),
        ("..", float("inf")),
    ],
)
def test_how_long_a_token_says_that_it_lasts(token: str, seconds: float) -> None:
    assert read_lifetime(token) == seconds
