"""Three servers of ours behind nginx, before one stand-in for Airflow, with one Redis between them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.http.conftest import furnished
from tests.http.serving import Served, serving
from tests.http.upstream import upstream
from tests.services.processes import Balancer, Store, nginx, redis
from tests.unit.fake_airflow import FakeAirflow, Sent

KEY = "a-key-that-all-replicas-of-the-tests-share"
OTHER_KEY = "another-key-that-one-replica-has-by-mistake"
RULES = """
[[policy.allow]]
tools = ["create_pool"]
confirm = "never"
[[policy.allow]]
tools = ["delete_pool"]
[[policy.allow]]
tools = ["pause_dag"]
confirm = "human"
"""
LIMITED = f"{RULES}\n[policy.per_minute]\nread = 4\nwrite = 3\n"


@dataclass
class Fleet:
    """What a test of replicas talks to. `front` is reached through nginx, each of `replicas` directly."""

    front: Served
    replicas: list[Served]
    balancer: Balancer
    store: Store
    airflow: FakeAirflow

    def made(self) -> list[str]:
        """The pools that Airflow was told to create, in order."""
        return [sent.body["name"] for sent in self.airflow.sent if sent.line == "POST /pools"]

    def sender(self, sent: Sent) -> Served:
        """The replica that a request to Airflow came from: each has a token of its own there."""
        return self.replicas[int(sent.headers["authorization"].rpartition("-")[2])]

    def deleted(self) -> int:
        """How often Airflow was told to delete the pool."""
        return self.airflow.lines().count("DELETE /pools/small")


@contextmanager
def fleet(
    folder: Path, *options: str, config: str = RULES, keys: Sequence[str] = (KEY, KEY, KEY), **settings: str
) -> Generator[Fleet]:
    """A replica for each of `keys`, with nginx before them, for the block."""
    airflow = furnished().on("POST", "/pools", pool_of)
    with ExitStack() as stack:
        stack.enter_context(upstream(airflow))
        store = stack.enter_context(redis(folder))
        audit = {"audit": str(folder / "audit.jsonl")}
        replicas: list[Served] = []
        for number, key in enumerate(keys):
            own = folder / f"replica-{number}"
            own.mkdir()
            shared = {"shared_key": key, "redis_url": store.url, "token": f"replica-{number}"} | audit | settings
            replicas.append(
                stack.enter_context(serving(airflow, own, "--stateless", *options, config=config, **shared))
            )
        balancer = stack.enter_context(nginx(folder, [one.url for one in replicas]))
        front = Served(balancer.url, replicas[0].process, [])
        yield Fleet(front, replicas, balancer, store, airflow)


def pool_of(sent: Sent) -> Any:
    """What Airflow says of a pool it created."""
    return {"name": sent.body["name"], "slots": sent.body["slots"], "include_deferred": False}
