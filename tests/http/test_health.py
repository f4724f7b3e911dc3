"""Probes: alive is one thing, able to work another, and neither asks Airflow each time or names one to strangers."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.http.serving import Served, accepted, serving
from tests.unit.fake_airflow import FakeAirflow

ALICE = {"Authorization": "Bearer token-of-alice"}


def instances(up: str) -> str:
    return f'[instances.up]\nurl = "{up}"\ntoken = "t"\n[instances.down]\nurl = "http://127.0.0.1:9"\n'


@pytest.fixture(scope="module")
def half(airflow: FakeAirflow, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """A server one of whose Airflows is down, and which says so to its probe."""
    config = f"http_ready_needs_airflow = true\n{accepted('alice', 'token-of-alice')}{instances(airflow.url)}"
    with serving(airflow, tmp_path_factory.mktemp("half"), config=config) as served:
        yield served


def test_a_server_is_alive_and_ready_and_says_nothing_else(server: Served) -> None:
    alive = server.request("GET", "/healthz", headers={"Host": "10.0.0.7"})
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    ready = server.request("GET", "/readyz", headers={"Host": "10.0.0.7"})
    assert (ready.status_code, ready.json()) == (200, {"ready": True})


def test_probes_do_not_ask_airflow_each_time(half: Served, airflow: FakeAirflow) -> None:
    assert half.request("GET", "/readyz").status_code == 200
    before = len(airflow.seen)
    for _ in range(20):
        assert half.request("GET", "/readyz").status_code == 200
    assert len(airflow.seen) <= before + 1  # should ten seconds have passed in between


def test_airflows_are_named_to_callers_alone_and_none_takes_the_others_down(half: Served) -> None:
    ready = half.request("GET", "/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True})
    stranger = half.request("GET", "/readyz", headers={"Authorization": "Bearer invented"})
    assert stranger.json() == {"ready": True}
    told = half.request("GET", "/readyz", headers=ALICE).json()
    assert told == {"ready": True, "instances": {"up": "reachable", "down": "unreachable"}}


@pytest.mark.anyio
async def test_a_server_whose_airflow_is_down_is_ready_and_says_so_itself(tmp_path: Path) -> None:
    with serving(None, tmp_path, url="http://127.0.0.1:9") as served:
        assert served.request("GET", "/healthz").status_code == 200
        ready = served.request("GET", "/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        async with served.assistant() as someone:
            assert "cannot be reached" in await someone.refused("list_dags")


def test_an_operator_may_want_it_not_ready_then(tmp_path: Path) -> None:
    with serving(None, tmp_path, url="http://127.0.0.1:9", http_ready_needs_airflow="true") as served:
        assert served.request("GET", "/healthz").status_code == 200
        ready = served.request("GET", "/readyz")
        assert ready.status_code == 503
        assert ready.json() == {"ready": False, "airflow": "Airflow cannot be reached."}
