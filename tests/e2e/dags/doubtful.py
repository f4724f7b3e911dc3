"""DAGs Airflow warns about: 2.x for their missing pool, 3.x for a start date that is another one at every parse."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

from datetime import UTC, datetime

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task


def swim() -> None:
    print("swam")


with DAG(
    dag_id="doubtful_a",
    schedule=None,
    is_paused_upon_creation=True,
    start_date=datetime.now(UTC),
    tags=["e2e"],
):
    task(task_id="swim", pool="missing_pool")(swim)()

with DAG(
    dag_id="doubtful_b",
    schedule=None,
    is_paused_upon_creation=True,
    start_date=datetime.now(UTC),
    tags=["e2e"],
):
    task(task_id="swim", pool="missing_pool")(swim)()
