"""Probes: alive is one thing, able to work another, and neither says more than a probe needs."""

from __future__ import annotations

from pathlib import Path

from tests.http.serving import Served, serving
from tests.unit.fake_airflow import FakeAirflow


def test_a_server_is_alive_and_ready_and_says_nothing_else(server: Served) -> None:
    alive = server.request("GET", "/healthz", headers={"Host": "10.0.0.7"})
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    ready = server.request("GET", "/readyz", headers={"Host": "10.0.0.7"})
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "instances": {"default": "reachable"}})


def test_a_server_whose_airflow_is_down_is_alive_and_not_ready(tmp_path: Path) -> None:
    with serving(None, tmp_path, url="http://127.0.0.1:9") as served:
        assert served.request("GET", "/healthz").status_code == 200
        ready = served.request("GET", "/readyz")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "instances": {"default": "unreachable"}})


def test_a_server_is_ready_while_any_of_its_airflows_is(airflow: FakeAirflow, tmp_path: Path) -> None:
    config = f'[instances.up]\nurl = "{airflow.url}"\ntoken = "t"\n[instances.down]\nurl = "http://127.0.0.1:9"\n'
    with serving(airflow, tmp_path, config=config) as served:
        ready = served.request("GET", "/readyz")
        assert ready.status_code == 200
        assert ready.json()["instances"] == {"up": "reachable", "down": "unreachable"}
