"""An update answers what the fields that it wrote held before, masked like what they hold now."""

from __future__ import annotations

from typing import Any

import pytest

from tests.permissions.support import connected
from tests.unit.assistant import GENERATIONS
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.samples import pool

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
every_version = pytest.mark.parametrize("version", GENERATIONS)
ALLOWED: Json = {"allow": [{"tools": ["update_*"], "confirm": "never"}]}


def variable_of(version: str, key: str, before: str, after: str) -> FakeAirflow:
    """An Airflow whose variable holds one value, and after an update another."""
    held: Json = {"key": key, "value": before, "description": "of the oven"}
    return (
        FakeAirflow(version)
        .on("GET", f"/variables/{key}", held)
        .on("PATCH", f"/variables/{key}", held | {"value": after})
    )


@every_version
async def test_an_update_answers_the_old_value_beside_the_new(version: str) -> None:
    async with connected(variable_of(version, "oven", "180", "200"), ALLOWED) as someone:
        answer = await someone.ask("update_variable", variable_key="oven", value="200")
    assert (answer["was"], answer["value"]) == ({"value": "180"}, "200")


@every_version
async def test_a_secret_is_masked_before_and_after(version: str) -> None:
    airflow = variable_of(version, "db_password", "hunter2-old", "hunter2-new")
    async with connected(airflow, ALLOWED) as someone:
        answer = await someone.ask("update_variable", variable_key="db_password", value="hunter2-new")
    assert (answer["was"], answer["value"]) == ({"value": "***"}, "***")


@every_version
async def test_only_the_fields_that_were_written_are_told(version: str) -> None:
    held = pool("small", 3)
    airflow = FakeAirflow(version).on("GET", "/pools/small", held).on("PATCH", "/pools/small", held | {"slots": 5})
    async with connected(airflow, ALLOWED) as someone:
        answer = await someone.ask("update_pool", pool_name="small", slots=5)
    assert (answer["was"], answer["slots"]) == ({"slots": 3}, 5)


@every_version
async def test_who_may_not_read_it_is_not_told_what_it_held(version: str) -> None:
    policy: Json = ALLOWED | {"deny": [{"tools": ["get_variable"]}]}
    async with connected(variable_of(version, "oven", "180", "200"), policy) as someone:
        answer = await someone.ask("update_variable", variable_key="oven", value="200")
    assert "was" not in answer
