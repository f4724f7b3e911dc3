"""Runs that wait: for a pool, a slot, a pause to end, a trigger, a retry, an asset, a worker."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

from datetime import UTC, datetime, timedelta

try:
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger
    from airflow.sdk import Asset, BaseOperator, dag, task
except ImportError:  # Airflow 2
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task
    from airflow.models import BaseOperator
    from airflow.triggers.temporal import DateTimeTrigger

OWNER = {"default_args": {"owner": "lake"}}
LIVE = {"schedule": None, "is_paused_upon_creation": False, **OWNER}
# Nothing of these may run: their states are written into the database, and the pause is taken away there.
FROZEN = {"schedule": None, "is_paused_upon_creation": True, **OWNER}

CLICKS, IMPRESSIONS = Asset("s3://lake/clicks"), Asset("s3://lake/impressions")


class WaitForPartner(BaseOperator):
    def execute(self, context):
        moment = datetime(2099, 1, 1, tzinfo=UTC)
        self.defer(trigger=DateTimeTrigger(moment=moment), method_name="done")

    def done(self, context, event=None):
        return str(event)


@dag(dag_id="wait_for_partner", tags=["stories", "deferred"], **LIVE)
def wait_for_partner():
    WaitForPartner(task_id="partner_delivers")


@dag(dag_id="retry_later", tags=["stories", "retries"], **LIVE)
def retry_later():
    @task(retries=3, retry_delay=timedelta(hours=6))
    def call_supplier() -> None:
        raise ConnectionError("supplier.example answered 503: maintenance until 18:00")

    call_supplier()


@dag(dag_id="feed_clicks", tags=["stories", "assets"], **LIVE)
def feed_clicks():
    @task(outlets=[CLICKS])
    def deliver() -> None:
        print("delivered clicks")

    deliver()


@dag(dag_id="feed_impressions", tags=["stories", "assets"], **LIVE)
def feed_impressions():
    @task(outlets=[IMPRESSIONS])
    def deliver() -> None:
        print("delivered impressions")

    deliver()


@dag(
    dag_id="join_feeds",
    tags=["stories", "assets"],
    schedule=[CLICKS, IMPRESSIONS],
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    is_paused_upon_creation=False,
    **OWNER,
)
def join_feeds():
    @task
    def join() -> None:
        print("joined")

    join()


@dag(dag_id="train_model", tags=["stories", "pools"], **FROZEN)
def train_model():
    @task(pool="gpu")
    def train() -> None:
        print("trained")

    train()


@dag(dag_id="warehouse_load", tags=["stories", "pools"], **FROZEN)
def warehouse_load():
    @task(pool="warehouse")
    def copy_table() -> None:
        print("copied")

    copy_table()


@dag(dag_id="paused_backlog", tags=["stories", "paused"], **FROZEN)
def paused_backlog():
    @task
    def archive() -> None:
        print("archived")

    archive()


@dag(dag_id="hourly_rollup", tags=["stories", "scheduler"], **FROZEN)
def hourly_rollup():
    @task
    def roll_up() -> None:
        print("rolled up")

    roll_up()


@dag(dag_id="one_at_a_time", tags=["stories", "limits"], max_active_runs=1, **FROZEN)
def one_at_a_time():
    @task
    def reindex() -> None:
        print("reindexed")

    reindex()


@dag(dag_id="narrow_lane", tags=["stories", "limits"], max_active_tasks=2, **FROZEN)
def narrow_lane():
    for name in ("north", "east", "south", "west", "centre"):

        @task(task_id=f"sync_{name}")
        def sync() -> None:
            print("synced")

        sync()


@dag(dag_id="stuck_in_queue", tags=["stories", "executor"], **FROZEN)
def stuck_in_queue():
    @task(queue="high_memory")
    def build_cube() -> None:
        print("built")

    build_cube()


@dag(dag_id="long_report", tags=["stories", "killed"], **FROZEN)
def long_report():
    @task
    def render_pages() -> None:
        print("rendered")

    render_pages()


wait_for_partner()
retry_later()
feed_clicks()
feed_impressions()
join_feeds()
train_model()
warehouse_load()
paused_backlog()
hourly_rollup()
one_at_a_time()
narrow_lane()
stuck_in_queue()
long_report()
