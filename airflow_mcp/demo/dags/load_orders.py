"""Checks every order of a batch and stores them: one order is bad, so one mapped index fails."""

from __future__ import annotations

import logging

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.models.param import Param

log = logging.getLogger("airflow.task")

AMOUNTS = {1000: 25.00, 1001: 310.20, 1002: 7.95, 1003: -40.00, 1004: 62.10}


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    tags=["demo", "orders"],
    default_args={"owner": "order-intake"},
    params={
        "region": Param(
            "north", type="string", enum=["north", "south"], description="Which shop the batch comes from."
        ),
        "minimum_amount": Param(0, type="number", minimum=0, description="Orders below this amount are refused."),
    },
    doc_md="Checks each order of the batch, one mapped task instance per order, then stores the batch as a whole.",
)
def load_orders():
    @task
    def fetch_batch(params: dict | None = None) -> list[int]:
        log.info("fetching the batch of region %s", (params or {}).get("region"))
        return sorted(AMOUNTS)

    @task
    def check_order(order: int, params: dict | None = None) -> float:
        amount = AMOUNTS[order]
        log.info("order %d: amount %.2f", order, amount)
        if amount < 0:
            raise ValueError(f"order {order}: amount is negative ({amount:.2f})")
        if amount < (params or {}).get("minimum_amount", 0):
            raise ValueError(f"order {order}: amount {amount:.2f} is below the minimum")
        return amount

    @task
    def store_batch(amounts: list[float]) -> None:
        log.info("stored %d orders, %.2f in total", len(list(amounts)), sum(amounts))

    store_batch(check_order.expand(order=fetch_batch()))


load_orders()
