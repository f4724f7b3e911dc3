"""The two DAGs that every DAG of the large Airflow is a copy of: a chain of 16 tasks, and a wide mapped task."""

# pyright: basic, reportMissingImports=false, reportUnusedExpression=false

from __future__ import annotations

from airflow.sdk import dag, task

STEPS = 16


@dag(dag_id="model_chain", schedule="@daily", catchup=False, is_paused_upon_creation=False, tags=["model"])
def model_chain():
    before = None
    for number in range(STEPS):

        @task(task_id=f"step_{number:02d}")
        def step() -> None:
            return

        now = step()
        if before is not None:
            before >> now
        before = now


@dag(dag_id="model_fan", schedule="@daily", catchup=False, is_paused_upon_creation=False, tags=["model"])
def model_fan():
    @task
    def fan(number: int) -> int:
        return number

    @task
    def publish() -> None:
        return

    fan.expand(number=[1, 2, 3]) >> publish()


model_chain()
model_fan()
