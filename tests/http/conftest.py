"""What the tests of HTTP share: a stand-in for Airflow on loopback, and one server with three callers."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.http.serving import Served, accepted, serving
from tests.http.upstream import upstream
from tests.unit.fake_airflow import FakeAirflow

RULES = f"""
toolsets = "all"
{accepted("alice", "token-of-alice", "oncall")}
{accepted("bob", "token-of-bob")}
{accepted("eve", "token-of-eve")}
[[policy.allow]]
tools = ["pause_dag", "delete_pool", "create_pool"]
callers = ["role:oncall"]
[[policy.allow]]
tools = ["pause_dag"]
callers = ["bob"]
[[policy.deny]]
tools = ["*"]
callers = ["eve"]
dags = ["payroll"]
"""
"""Alice is on call, Bob may pause a DAG, and to Eve there is no payroll."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def furnished() -> FakeAirflow:
    """An Airflow with two DAGs and a pool."""
    dags = [{"dag_id": name, "is_paused": False} for name in ("etl", "payroll")]
    airflow = FakeAirflow("3.3.2").on("GET", "/dags", {"dags": dags, "total_entries": 2})
    for dag in dags:
        airflow.on("GET", f"/dags/{dag['dag_id']}", dag)
        airflow.on("PATCH", f"/dags/{dag['dag_id']}", {**dag, "is_paused": True})
    airflow.on("GET", "/pools/small", {"name": "small", "slots": 3})
    return airflow.on("DELETE", "/pools/small", None)


@pytest.fixture(scope="package")
def airflow() -> Generator[FakeAirflow]:
    """A stand-in for Airflow that every server of these tests may use."""
    with upstream(furnished()) as served:
        yield served


@pytest.fixture(scope="package")
def server(airflow: FakeAirflow, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """One server whose callers have tokens, on loopback."""
    with serving(airflow, tmp_path_factory.mktemp("server"), config=RULES) as served:
        yield served
