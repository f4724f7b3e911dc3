"""Needs a client library that is not installed: the DAG that does not import."""

from __future__ import annotations

import warehouse_client

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    tags=["demo", "warehouse"],
    doc_md="Removes yesterday's staging tables from the warehouse.",
)
def does_not_import():
    @task
    def drop_staging_tables() -> int:
        return warehouse_client.connect().drop_tables("staging_*")

    drop_staging_tables()


does_not_import()
