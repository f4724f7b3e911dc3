"""A DAG file that never could be imported, so that its DAG does not exist."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

import acme_warehouse

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(dag_id="customer_sync", schedule=None, tags=["stories", "import"])
def customer_sync():
    @task
    def sync() -> None:
        acme_warehouse.sync()

    sync()


customer_sync()
