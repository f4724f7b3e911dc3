"""Three replicas that the tests which break nothing share."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.services.replicas import Fleet, fleet


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fleet]:
    """Replicas with one key."""
    with fleet(tmp_path_factory.mktemp("shared")) as running:
        yield running
