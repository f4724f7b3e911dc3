"""Two real Airflows, started at once for this folder's tests; nothing of them outlives those."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from airflow_mcp.demo.local_airflow import LocalAirflow
from airflow_mcp.demo.processes import DemoError

from .canaries import plant, settings_with_canaries
from .guard import end_all, guarded
from .harness import DAGS, VERSIONS, Site

PLUGINS = DAGS.parent / "plugins"
OPTIONS = {
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__API__EXPOSE_CONFIG": "True",
    "AIRFLOW__WEBSERVER__EXPOSE_CONFIG": "True",  # Airflow 2
}
"""What an operator must allow before the tools for it can answer."""
Starting = dict[str, "Future[Site]"]


def start(version: str, home: Path, portal: BlockingPortal) -> Site:
    """Start one Airflow and its runs; a failure leaves nothing running."""
    dags = home / "dags"
    shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    plant(dags)
    plugins = home / "plugins"
    shutil.copytree(PLUGINS, plugins, ignore=shutil.ignore_patterns("__pycache__"))
    plant(plugins)
    options = OPTIONS | settings_with_canaries()
    airflow = LocalAirflow.start(version, home, dags, users={"viewer": "viewer"}, options=options)
    site = Site(airflow, portal, home)
    try:
        site.start_runs()
    except BaseException:
        site.close()
        raise
    return site


def close(starting: Starting, homes: list[Path]) -> None:
    """Stop every Airflow, those that are still starting as well."""
    while wait(starting.values(), timeout=1).not_done:
        end_all(homes)  # its start then fails, and cleans up
    with ThreadPoolExecutor() as pool, ExitStack() as last:
        for future in starting.values():
            if not future.exception():
                last.callback(pool.submit(future.result().close).result)


@pytest.fixture(scope="package")
def airflows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starting]:
    """Both Airflows, started concurrently; a result raises where that Airflow cannot be had."""
    homes = {version: tmp_path_factory.mktemp(f"airflow-{version}") for version in VERSIONS}
    with ExitStack() as undo:
        undo.enter_context(guarded([*homes.values()]))
        portal = undo.enter_context(start_blocking_portal())
        pool = undo.enter_context(ThreadPoolExecutor(len(VERSIONS)))
        starting = {version: pool.submit(start, version, home, portal) for version, home in homes.items()}
        undo.callback(close, starting, [*homes.values()])
        wait(starting.values())
        yield starting


def site_of(starting: Starting, version: str) -> Site:
    """The running Airflow of this version; without it there is nothing to test, and the test fails saying why."""
    try:
        return starting[version].result()
    except (DemoError, OSError) as error:
        pytest.fail(f"No Airflow {version} to test against: {error}", pytrace=False)


@pytest.fixture(scope="package", params=VERSIONS)
def site(request: pytest.FixtureRequest, airflows: Starting) -> Site:
    """Each Airflow in turn."""
    return site_of(airflows, request.param)


@pytest.fixture(scope="package")
def sites(airflows: Starting) -> dict[str, Site]:
    """Both Airflows, to compare them."""
    return {version: site_of(airflows, version) for version in VERSIONS}
