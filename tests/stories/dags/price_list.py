"""A DAG that worked until its file was changed: between its two runs the builder adds a step, which fails."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

STEPS = ["collect"]


@dag(
    dag_id="price_list",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["stories", "changed"],
    default_args={"owner": "prices"},
)
def price_list():
    for name in STEPS:

        @task(task_id=name)
        def step(count: int = len(STEPS) - 1) -> float:
            return 100 / (1 - count)

        step()


price_list()
