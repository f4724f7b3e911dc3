"""What the tests under load share: a server of ours before a wild Airflow, and files enough for a thousand callers."""

from __future__ import annotations

import resource
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.http.serving import PATIENCE, Served, serving
from tests.load.airflow import WildAirflow, wild_airflow

_FILES = 4096  # open at once
Pair = tuple[WildAirflow, Served]
Standing = Callable[..., AbstractAsyncContextManager[Pair]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def many_files() -> Generator[None]:
    """A shell often allows 1,024 open files; processes started from here may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def standing(tmp_path: Path) -> Standing:
    """Both, for a block that ends with an error rather than hang for ever; takes settings of the server."""

    @asynccontextmanager
    async def stand(*, config: str = "", **settings: str) -> AsyncGenerator[Pair]:
        async with wild_airflow() as airflow:
            login = {"url": airflow.url, "username": "operator", "password": "pass"}
            asked = login | {"http_per_minute": "1000000"} | settings
            with serving(None, tmp_path, config=config, **asked) as served:
                with anyio.fail_after(2 * PATIENCE):
                    yield airflow, served

    return stand
