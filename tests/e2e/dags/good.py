"""DAGs that succeed: one with XComs worth reading, one with all characters an id may have, one with a param."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

from airflow import __version__

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.models.param import Param

# A task of Airflow 3.0 cannot push a key with a slash.
SLASHED = "loaves.rye" if __version__.startswith("3.0.") else "loaves/rye"
TOTALS = {"city": "Zürich", "rocket": "🚀", "amount": 12.5, "nested": {"ключ": [1, None, True]}}


@dag(
    dag_id="ok",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["e2e", "good"],
    default_args={"owner": "bakery"},
    description="Succeeds.",
    doc_md="Counts the loaves of the day.",
)
def ok():
    @task
    def produce(ti=None) -> dict:
        ti.xcom_push(key=SLASHED, value=["seven", "eight"])
        print("counted the loaves")
        return TOTALS

    produce()


@dag(dag_id="a.b-c", schedule=None, is_paused_upon_creation=False, tags=["e2e"], default_args={"owner": "bakery"})
def odd():
    @task(task_id="t.1-x_y")
    def odd_task(run_id=None) -> str:
        print(f"this is {run_id}")
        return str(run_id)

    odd_task()


@dag(
    dag_id="prompt",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["e2e"],
    default_args={"owner": "bakery"},
    params={"loaves": Param(6, type="integer", minimum=1, maximum=12)},
)
def prompt():
    @task
    def bake(params=None) -> int:
        return params["loaves"]

    bake()


ok()
odd()
prompt()
