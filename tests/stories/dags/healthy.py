"""DAGs that are well: one on a daily schedule with owner, parameters and a few tasks."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

from datetime import UTC, datetime

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.models.param import Param


@dag(
    dag_id="daily_stock",
    schedule="@daily",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=False,
    tags=["stories", "healthy"],
    default_args={"owner": "stock-team"},
    params={"warehouse": Param("basel", type="string", enum=["basel", "genf"])},
    description="Counts what is in stock.",
)
def daily_stock():
    @task
    def count() -> int:
        return 42

    @task
    def report(counted: int) -> None:
        print(f"{counted} in stock")

    report(count())


daily_stock()
