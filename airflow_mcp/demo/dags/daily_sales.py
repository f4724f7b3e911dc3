"""Adds up yesterday's sales: the DAG that works."""

from __future__ import annotations

import logging

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

log = logging.getLogger("airflow.task")


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    tags=["demo", "sales"],
    default_args={"owner": "sales-analytics"},
    doc_md="Adds up the sales of the day per region and publishes the totals. Owner: sales-analytics.",
)
def daily_sales():
    @task
    def read_sales() -> list[dict]:
        return [
            {"region": "north", "amount": 120.50},
            {"region": "south", "amount": 80.00},
            {"region": "north", "amount": 39.90},
        ]

    @task
    def add_up(sales: list[dict]) -> dict[str, float]:
        totals: dict[str, float] = {}
        for sale in sales:
            totals[sale["region"]] = round(totals.get(sale["region"], 0.0) + sale["amount"], 2)
        return totals

    @task
    def publish(totals: dict[str, float]) -> None:
        for region, total in sorted(totals.items()):
            log.info("sales of region %s: %.2f", region, total)

    publish(add_up(read_sales()))


daily_sales()
