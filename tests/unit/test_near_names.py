"""A name is suggested only where somebody may have meant it."""

from __future__ import annotations

import pytest

from airflow_mcp.near_names import find_near_names
from tests.unit.assistant import assistant
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.samples import dag, page

NAMES = ["h_noise", "load_orders", "load_customers", "pool", "etl_daily", "Report", "none"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("nope", ["none"]),
        ("load_order", ["load_orders"]),
        ("lode_orders", ["load_orders"]),
        ("LOAD_ORDERS", ["load_orders", "load_customers"]),
        ("orders", ["load_orders"]),
        ("poll", ["pool"]),
        ("report", ["Report"]),
        ("opol", ["pool"]),
        ("zebra", []),
        ("etl", []),
        ("", []),
    ],
)
def test_only_near_names_are_suggested(name: str, near: list[str]) -> None:
    assert find_near_names(name, NAMES) == near


@pytest.mark.anyio
async def test_near_dags_of_a_misspelt_id_take_three_requests_more() -> None:
    airflow = FakeAirflow().on("GET", "/dags", page("dags", [dag(dag_id="load_orders"), dag(dag_id="h_noise")]))
    async with assistant(airflow) as someone:
        assert "Did you mean load_orders?" in await someone.refused("get_dag_run", dag_id="load_order", dag_run_id="r")
        assert airflow.lines()[:2] == ["GET /dags/load_order/dagRuns", "GET /dags/load_order/dagRuns/r"]
        assert len(airflow.sent) <= 2 + 3
        airflow.sent.clear()
        sentence = await someone.refused("get_dag", dag_id="nope")
    assert "h_noise" not in sentence
    assert len(airflow.sent) <= 1 + 3
