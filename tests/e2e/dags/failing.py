"""DAGs that fail: one mapped index with a chained exception, and a cause that lies far from the end of a long log."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

import logging

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

log = logging.getLogger("airflow.task")

LINES = 20_000
LINES_AFTER = 400


def weigh(crate: int) -> int:
    if crate == 3:
        raise ValueError(f"crate {crate} weighs -40 kg")
    return crate * 10


@dag(dag_id="mapped", schedule=None, is_paused_upon_creation=False, tags=["e2e"], default_args={"owner": "harbour"})
def mapped():
    @task
    def load(crate: int) -> int:
        try:
            return weigh(crate)
        except ValueError as error:
            raise RuntimeError(f"cannot load crate {crate}") from error

    @task
    def sail(loaded: list[int]) -> int:
        return sum(loaded)

    sail(load.expand(crate=[0, 1, 2, 3, 4]))


def clean_up(_: object) -> None:
    for number in range(LINES_AFTER):
        print(f"swept deck {number}")


@dag(dag_id="noisy", schedule=None, is_paused_upon_creation=False, tags=["e2e"], default_args={"owner": "harbour"})
def noisy():
    @task(on_failure_callback=clean_up)
    def count_waves() -> None:
        for number in range(LINES):
            log.info("wave %d passed", number)
        raise OSError("the tide gauge is dry")

    count_waves()


mapped()
noisy()
