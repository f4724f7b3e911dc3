"""DAGs that are paused when they appear, so that their runs stay as the tests put them."""

# pyright: basic, reportMissingImports=false, reportUnusedExpression=false

from __future__ import annotations

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.models.param import Param


@dag(dag_id="still", schedule=None, is_paused_upon_creation=True, tags=["e2e", "resting"])
def still():
    @task
    def first() -> None:
        print("first")

    @task
    def each(number: int) -> None:
        print(number)

    first() >> each.expand(number=[0, 1, 2])


@dag(dag_id="pausing", schedule=None, is_paused_upon_creation=True, tags=["e2e"])
def pausing():
    @task
    def step() -> None:
        print("stepped")

    step()


@dag(
    dag_id="params",
    schedule=None,
    is_paused_upon_creation=True,
    tags=["e2e"],
    params={
        "loaves": Param(6, type="integer", minimum=1, maximum=12, description="How many to bake."),
        "flour": Param("rye", type="string", enum=["rye", "wheat"]),
    },
)
def params():
    @task
    def bake() -> None:
        print("baked")

    bake()


@dag(dag_id="doomed", schedule=None, is_paused_upon_creation=True, tags=["e2e"])
def doomed():
    @task
    def last() -> None:
        print("last")

    last()


still()
pausing()
params()
doomed()
