"""Mapped tasks of which some fail: one of five, and 300 of 1,000 with three different errors."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

SHARDS = 1_000
ROWS = [1_200, 900, 1_050, 0, 1_130]


def check_rows(partition: int) -> int:
    if ROWS[partition] == 0:
        raise ValueError(f"partition {partition} of orders has no rows")
    return ROWS[partition]


@dag(
    dag_id="load_partitions",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["stories", "mapped"],
    default_args={"owner": "warehouse"},
)
def load_partitions():
    @task
    def load(partition: int) -> int:
        print(f"loading partition {partition}")
        return check_rows(partition)

    @task
    def publish(rows: list[int]) -> int:
        return sum(rows)

    publish(load.expand(partition=list(range(len(ROWS)))))


def fetch_shard(shard: int) -> int:
    # Its 1,000 runs are written into the database; this is what would have failed.
    if 100 <= shard < 250:
        raise TimeoutError(f"shard {shard} did not answer within 30 seconds")
    if 400 <= shard < 500:
        raise KeyError("customer_id")
    if 700 <= shard < 750:
        raise ValueError(f"checksum of shard {shard} is {shard * 7919:08x}, expected 5eed5eed")
    return shard


@dag(
    dag_id="load_shards",
    schedule=None,
    is_paused_upon_creation=True,
    tags=["stories", "mapped"],
    default_args={"owner": "warehouse"},
)
def load_shards():
    @task
    def load(shard: int) -> int:
        return fetch_shard(shard)

    @task
    def publish(rows: list[int]) -> int:
        return len(rows)

    publish(load.expand(shard=list(range(SHARDS))))


load_partitions()
load_shards()
