"""What every test here shares: the event loop, no settings of the person who runs it, and patient property tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# A slow machine must not fail a property, and the same code must meet the same examples everywhere.
settings.register_profile(
    "unit",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("unit")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_of_the_person_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in [name for name in os.environ if name.startswith("AIRFLOW_MCP_")]:
        monkeypatch.delenv(name)
