"""Every row of the matrix on every version chosen, one Airflow after the other. Run by `python -m tests.matrix`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from anyio.from_thread import start_blocking_portal

from airflow_mcp.demo.install import find_cache_folder
from airflow_mcp.demo.local_airflow import LocalAirflow
from airflow_mcp.demo.processes import DemoError
from tests.e2e.conftest import OPTIONS, PLUGINS
from tests.e2e.guard import guarded
from tests.e2e.harness import DAGS, Site
from tests.e2e.test_every_tool import TABLE
from tests.matrix.releases import ENTRIES, locked
from tests.matrix.rows import ROWS, row_of

NOT_OURS = shutil.ignore_patterns("__pycache__", "*canaries.py")
"""The canaries are the redactor's, whose work does not depend on the version."""


@pytest.fixture(scope="module", params=ENTRIES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Each Airflow in turn; the one before is gone when the next one starts."""
    version, entry = str(request.param), ENTRIES[str(request.param)]
    home = tmp_path_factory.mktemp(f"airflow-{version}")
    dags = home / "dags"
    shutil.copytree(DAGS, dags, ignore=NOT_OURS)
    for file in dags.glob("*.py"):
        file.write_text(entry.dag_text(file.read_text()))
    shutil.copytree(PLUGINS, home / "plugins", ignore=NOT_OURS)
    options = {**OPTIONS, **entry.options}
    cache = find_cache_folder()
    with ExitStack() as undo:
        undo.enter_context(guarded([home]))
        portal = undo.enter_context(start_blocking_portal())
        try:
            release = locked(version, cache, print)
            airflow = LocalAirflow.start(
                release, home, dags, print, cache=cache, users={"viewer": "viewer"}, options=options
            )
        except (DemoError, OSError) as error:
            pytest.fail(f"Airflow {version} cannot be had: {error}", pytrace=False)
        site = Site(airflow, portal, home)
        undo.callback(site.close)
        site.start_runs()
        yield site


@pytest.mark.parametrize("name", ROWS | TABLE)
def test_row(site: Site, name: str) -> None:
    row_of(site.version, name)(site)
