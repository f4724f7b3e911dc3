"""auth = "kerberos": every request to Airflow 2.x carries a ticket of its own, as a stand-in for GSSAPI gives it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from airflow_mcp.airflow.auth.kerberos import Kerberos
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.wire import Request
from airflow_mcp.errors import LoginError
from tests.http.upstream import upstream
from tests.unit.connected import connected
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent

pytestmark = pytest.mark.anyio
DAGS = Request("GET", "/api/v1/dags", (), None, "application/json", True)
UNKNOWN = Reply(401, {"title": "Unauthorized"}, {"www-authenticate": "Negotiate"})


class Realm:
    """A service that takes each ticket once, and who makes tickets for it."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self.taken: list[bytes] = []
        self.airflow = FakeAirflow("2.10.3").on("GET", "/dags", self._dags)

    def ticket(self, host: str, service: str) -> bytes:
        self.made.append((host, service))
        return f"ticket-{len(self.made)}".encode()

    def _dags(self, sent: Sent) -> Reply:
        scheme, _, token = sent.headers.get("authorization", "").partition(" ")
        given = base64.b64decode(token)
        if scheme != "Negotiate" or not given.startswith(b"ticket-") or given in self.taken:
            return UNKNOWN
        self.taken.append(given)
        if given == b"ticket-2":
            return Reply(503)
        return Reply(200, {"dags": [], "total_entries": 0})


async def test_every_request_carries_a_ticket_of_its_own_and_so_does_a_second_try() -> None:
    realm = Realm()
    way = Kerberos("http://airflow.example:8080", ticket=realm.ticket)
    client = AirflowClient(realm.airflow.url, way, transport=realm.airflow.transport, backoff=0)
    statuses = [(await client.send(DAGS)).status for _ in range(3)]
    assert statuses == [200, 200, 200]
    assert realm.taken == [b"ticket-1", b"ticket-2", b"ticket-3", b"ticket-4"]
    assert set(realm.made) == {("airflow.example", "HTTP")}


async def test_a_principal_that_airflow_does_not_know_is_given_up() -> None:
    realm = Realm()
    way = Kerberos("http://airflow.example:8080", "http-alt", ticket=lambda host, service: b"strange")
    client = AirflowClient(realm.airflow.url, way, transport=realm.airflow.transport, backoff=0)
    with pytest.raises(LoginError, match=r"keeps refusing the Kerberos principal .*http-alt@airflow\.example"):
        await client.send(DAGS)
    assert len(realm.airflow.sent) == 2


async def test_without_a_ticket_nothing_is_sent_and_a_sentence_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'no-cache'}")
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{tmp_path / 'no-keytab'}")
    realm = Realm()
    with upstream(realm.airflow) as served:
        async with connected(url=served.url, auth="kerberos") as someone:
            sentence = await someone.refused("list_dags")
    assert "Kerberos gives no ticket for HTTP@127.0.0.1" in sentence
    assert "kinit" in sentence
    assert realm.airflow.sent == []
