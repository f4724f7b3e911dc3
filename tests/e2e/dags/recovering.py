"""A DAG whose task fails the first time and succeeds when it is run again."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false

from __future__ import annotations

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(
    dag_id="second_time", schedule=None, is_paused_upon_creation=False, tags=["e2e"], default_args={"owner": "harbour"}
)
def second_time():
    @task
    def land(ti=None) -> None:
        if ti.try_number == 1:
            raise RuntimeError("the quay is taken")

    @task
    def rest() -> None:
        pass

    first, then = land(), rest()
    first >> then  # pyright: ignore


second_time()
