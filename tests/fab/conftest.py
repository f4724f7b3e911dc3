"""A real Airflow 3 whose users are FAB's, alive for this folder's tests only: two cores carry no third Airflow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from anyio.from_thread import start_blocking_portal

from airflow_mcp.demo.local_airflow import LocalAirflow
from airflow_mcp.demo.processes import DemoError
from tests.e2e.guard import guarded
from tests.e2e.harness import DAGS, Site
from tests.fab.release import FAB, MANAGER


@pytest.fixture(scope="package")
def fab_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The Airflow, its administrator `admin` and one user of each role below; none of its DAGs has run."""
    home = tmp_path_factory.mktemp("airflow-fab")
    dags = home / "dags"
    dags.mkdir()
    shutil.copy(DAGS / "good.py", dags)
    with ExitStack() as undo:
        undo.enter_context(guarded([home]))
        portal = undo.enter_context(start_blocking_portal())
        try:
            airflow = LocalAirflow.start(FAB, home, dags, users={"op": "op", "viewer": "viewer"}, options=MANAGER)
        except (DemoError, OSError) as error:
            pytest.fail(f"No Airflow {FAB.name} to test against: {error}", pytrace=False)
        site = Site(airflow, portal, home)
        undo.callback(site.close)
        yield site
