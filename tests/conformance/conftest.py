"""What the tests of conformance share: a stand-in for Airflow, and who may do what."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.conformance.node import MODULES
from tests.http.upstream import upstream
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.samples import dag, dag_run, page, pool, task_instance


def pytest_sessionstart() -> None:
    """Say what to do before anything fails."""
    if not MODULES.is_dir():
        pytest.exit("The packages of tests/conformance are not installed: run `make conformance`.", returncode=2)


@pytest.fixture
def airflow() -> Generator[FakeAirflow]:
    """An Airflow with a DAG of three runs (one that has ended, one that ends when it is looked at, one that never
    does) and a pool."""
    etl = dag(dag_id="etl", is_paused=False)
    runs = "/dags/etl/dagRuns"
    fake = FakeAirflow("3.3.2").on("GET", "/dags", page("dags", [etl])).on("GET", "/dags/etl", etl)
    fake.on("PATCH", "/dags/etl", {**etl, "is_paused": True})
    fake.on("GET", f"{runs}/done", dag_run("done", "success"))
    fake.on("GET", f"{runs}/ends", dag_run("ends", "running"), dag_run("ends", "success"))
    fake.on("GET", f"{runs}/never_ends", dag_run("never_ends", "running"))
    for name in ("ends", "never_ends"):
        fake.on("GET", f"{runs}/{name}/taskInstances", page("task_instances", [task_instance("load", "running")]))
    fake.on("GET", "/pools/small", pool("small")).on("DELETE", "/pools/small", None)
    with upstream(fake) as served:
        yield served
