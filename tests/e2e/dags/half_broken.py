"""Two DAGs in one file, one of which Airflow lists and one of which it finds an error in."""

# pyright: basic, reportMissingImports=false, reportUnusedExpression=false, reportAttributeAccessIssue=false

from __future__ import annotations

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task


class Faulty(DAG):
    def validate(self) -> None:
        raise ValueError("this half is broken")


def rest() -> None:
    print("rested")


with DAG(dag_id="sound_half", schedule=None, is_paused_upon_creation=True, tags=["e2e"]):
    task(task_id="rest")(rest)()

with Faulty(dag_id="broken_half", schedule=None, is_paused_upon_creation=True, tags=["e2e"]):
    task(task_id="rest")(rest)()
