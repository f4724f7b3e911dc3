"""What the tests of replicas share: a stand-in for Airflow, a Redis, three replicas, and nginx before them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.http.conftest import furnished
from tests.http.serving import Served, accepted, serving
from tests.http.upstream import upstream
from tests.services.processes import Store, nginx, redis
from tests.unit.fake_airflow import FakeAirflow, Sent

KEY = "a-key-that-all-replicas-of-the-tests-share"
RULES = f"""
toolsets = "all"
{accepted("alice", "token-of-alice", "oncall")}
{accepted("bob", "token-of-bob")}
[policy.per_minute]
read = 40
[[policy.allow]]
tools = ["pause_dag", "create_pool", "delete_pool", "trigger_dag_run"]
[[policy.allow]]
tools = ["delete_variable"]
confirm = "human"
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Fleet:
    """Replicas, and what stands before and behind them."""

    airflow: FakeAirflow
    store: Store
    replicas: list[Served]
    front: Served  # what clients see: nginx

    def created(self) -> list[str]:
        """The names of the pools that were made, in order, each as often as it was."""
        return [sent.body["name"] for sent in self.airflow.sent if sent.line == "POST /pools"]


def counting() -> FakeAirflow:
    """An Airflow in which any pool can be made, and deleted."""
    airflow = furnished()

    def made(sent: Sent) -> dict[str, Any]:
        return {"name": sent.body["name"], "slots": sent.body["slots"]}

    airflow.on("POST", "/pools", made)
    airflow.on("GET", "/variables/gone", {"key": "gone", "value": "x"}).on("DELETE", "/variables/gone", None)
    return airflow


@contextmanager
def fleet(folder: Path, count: int = 3, *options: str, rules: str = RULES, **settings: str) -> Generator[Fleet]:
    """That many replicas behind nginx."""
    with ExitStack() as undo:
        airflow = undo.enter_context(upstream(counting()))
        store = undo.enter_context(redis(folder))
        shared = {"http_stateless": "true", "shared_key": KEY, "redis_url": store.url} | settings
        replicas: list[Served] = []
        for number in range(count):
            own = folder / str(number)
            own.mkdir()
            audit = {"audit": str(own / "audit.jsonl")}
            replicas.append(undo.enter_context(serving(airflow, own, *options, config=rules, **(audit | shared))))
        url = undo.enter_context(nginx(folder, [one.url.removeprefix("http://") for one in replicas]))
        yield Fleet(airflow, store, replicas, Served(url, replicas[0].process, []))


@pytest.fixture(scope="package")
def three(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fleet]:
    """Three replicas behind nginx, for tests that end none of them."""
    with fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running
