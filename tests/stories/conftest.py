"""Both seeded Airflows, served for the whole session; nothing of them outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from airflow_mcp.demo.processes import DemoError
from tests.e2e.guard import end_all, guarded
from tests.e2e.harness import VERSIONS, Site
from tests.stories.world import World

Starting = dict[str, "Future[Site]"]


def start(version: str, home: Path, portal: BlockingPortal) -> Site:
    """Serve one Airflow, built first if need be."""
    return Site(World.serve(version, home), portal, home)


def close(starting: Starting, homes: list[Path]) -> None:
    """Stop every Airflow, those that are still starting as well."""
    while wait(starting.values(), timeout=1).not_done:
        end_all(homes)  # its start then fails, and cleans up
    with ExitStack() as last:
        for future in starting.values():
            if not future.exception():
                last.callback(future.result().close)


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starting]:
    """Both Airflows, started concurrently; a result raises where that Airflow cannot be had."""
    homes = {version: tmp_path_factory.mktemp(f"stories-{version}") for version in VERSIONS}
    with ExitStack() as undo:
        undo.enter_context(guarded([*homes.values()]))
        portal = undo.enter_context(start_blocking_portal())
        pool = undo.enter_context(ThreadPoolExecutor(len(VERSIONS)))
        starting = {version: pool.submit(start, version, home, portal) for version, home in homes.items()}
        undo.callback(close, starting, [*homes.values()])
        wait(starting.values())
        yield starting


def site_of(starting: Starting, version: str) -> Site:
    """The served Airflow of this version; without it there is nothing to test, and the test fails saying why."""
    try:
        return starting[version].result()
    except (DemoError, OSError) as error:
        pytest.fail(f"No stories of Airflow {version} to test against: {error}", pytrace=False)


@pytest.fixture(scope="session", params=VERSIONS)
def site(request: pytest.FixtureRequest, worlds: Starting) -> Site:
    """Each Airflow in turn."""
    return site_of(worlds, request.param)


@pytest.fixture(scope="session")
def sites(worlds: Starting) -> dict[str, Site]:
    """Both Airflows, by version."""
    return {version: site_of(worlds, version) for version in VERSIONS}
