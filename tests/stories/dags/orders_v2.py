"""A DAG that works until somebody breaks its file: the builder appends an import of a module that is not there."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(
    dag_id="orders_v2",
    schedule=None,
    is_paused_upon_creation=True,
    tags=["stories", "import"],
    default_args={"owner": "orders"},
)
def orders_v2():
    @task
    def collect() -> None:
        print("collected")

    collect()


orders_v2()
