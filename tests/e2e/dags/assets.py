"""DAGs around assets: one makes flour, one waits for flour and water, so what comes of one of them stays queued."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from datetime import UTC, datetime

try:
    from airflow.sdk import Asset, AssetAlias, dag, task
except ImportError:  # Airflow 2
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task

    try:
        from airflow.datasets import DatasetAlias as AssetAlias
    except ImportError:  # before 2.10
        AssetAlias = None

FLOUR, WATER = Asset("bakery://store/flour?kind=rye"), Asset("bakery://store/water")


@dag(dag_id="mill", schedule=None, is_paused_upon_creation=False, tags=["e2e"])
def mill():
    @task(outlets=[FLOUR])
    def grind() -> None:
        print("ground")

    grind()
    if AssetAlias:

        @task(outlets=[AssetAlias("grain")])
        def sweep() -> None:
            print("swept")

        sweep()


@dag(
    dag_id="oven",
    schedule=[FLOUR, WATER],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    is_paused_upon_creation=False,
    tags=["e2e"],
)
def oven():
    @task
    def bake() -> None:
        print("baked")

    bake()


mill()
oven()
