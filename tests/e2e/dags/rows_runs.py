"""DAGs for the rows about runs: a task group with a schedule to backfill, two to pause, an asset made and taken.

Those that only a newer Airflow can have stand here too: a file without any DAG would never be known to the other.
"""

# pyright: basic, reportMissingImports=false, reportUnusedExpression=false, reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from datetime import UTC, datetime

try:
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
    from airflow.sdk import Asset, dag, task, task_group
except ImportError:  # Airflow 2
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task, task_group
    from airflow.operators.trigger_dagrun import TriggerDagRunOperator

LOAF, CRUMBS = Asset("x-rows://loaf"), Asset("x-rows://crumbs")
START = datetime(2026, 1, 1, tzinfo=UTC)  # needed by Airflow 2 where there is a schedule


@dag(
    dag_id="grouped",
    schedule="@daily",
    start_date=START,
    catchup=False,
    is_paused_upon_creation=True,
    tags=["e2e"],
)
def grouped():
    @task
    def before() -> None:
        print("before")

    @task_group(group_id="middle")
    def middle() -> None:
        @task
        def one() -> None:
            print("one")

        @task
        def two() -> None:
            print("two")

        one() >> two()

    @task(retries=2, doc_md="Cools the loaves.")
    def after() -> None:
        print("after")

    before() >> middle() >> after()


def quiet(dag_id: str):
    @dag(dag_id=dag_id, schedule=None, is_paused_upon_creation=True, tags=["e2e"])
    def silent():
        @task
        def rest() -> None:
            print("rested")

        rest()

    return silent()


@dag(dag_id="rows_source", schedule=None, is_paused_upon_creation=False, tags=["e2e"])
def making():
    @task(outlets=[LOAF])
    def bake() -> None:
        print("baked")

    bake() >> TriggerDagRunOperator(task_id="tell", trigger_dag_id="grouped", trigger_run_id="told-by-{{ run_id }}")


@dag(dag_id="rows_eater", schedule=[LOAF], start_date=START, is_paused_upon_creation=False, tags=["e2e"])
def taking():
    @task(outlets=[CRUMBS])
    def eat() -> None:
        print("eaten")

    eat()


@dag(dag_id="rows_bird", schedule=[CRUMBS], start_date=START, is_paused_upon_creation=True, tags=["e2e"])
def picking():
    @task
    def pick() -> None:
        print("picked")

    pick()


grouped()
quiet("rows_quiet_a")
quiet("rows_quiet_b")
making()
taking()
picking()

try:
    from airflow.providers.standard.operators.hitl import HITLOperator
    from airflow.sdk import Param
except ImportError:  # before 3.1
    pass
else:

    @dag(dag_id="rows_human", schedule=None, is_paused_upon_creation=False, tags=["e2e"])
    def asking():
        HITLOperator(
            task_id="choose",
            subject="Which flour?",
            body="Rye rises less.",
            options=["rye", "wheat"],
            params={"loaves": Param(6, type="integer", minimum=1, maximum=12)},
        )

    asking()

try:
    from airflow.sdk import CronPartitionTimetable
except ImportError:  # before 3.2
    pass
else:

    @dag(
        dag_id="rows_sliced",
        schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC"),
        is_paused_upon_creation=True,
        tags=["e2e"],
    )
    def sliced():
        @task
        def cut() -> None:
            print("cut")

        cut()

    sliced()
