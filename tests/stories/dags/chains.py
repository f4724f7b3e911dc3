"""Failures whose cause lies elsewhere: far upstream, in an earlier try that failed differently, behind an exception."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportUnusedExpression=false

from __future__ import annotations

from datetime import timedelta

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

STEPS = [
    "clean_orders",
    "dedupe_orders",
    "join_customers",
    "join_products",
    "convert_currency",
    "sum_by_day",
    "sum_by_region",
    "score_churn",
    "build_mart",
    "test_mart",
    "publish_mart",
    "notify_finance",
]
COMMON = {"schedule": None, "is_paused_upon_creation": False, "default_args": {"owner": "finance"}}


@dag(dag_id="nightly_chain", tags=["stories", "chain"], **COMMON)
def nightly_chain():
    @task
    def extract_orders() -> None:
        raise PermissionError("token of service account etl-orders expired on 2024-05-31")

    @task
    def extract_rates() -> float:
        print("fetched 31 exchange rates")
        return 1.08

    @task
    def step() -> None:
        print("done")

    before = extract_orders()
    rates = extract_rates()
    for name in STEPS:
        after = step.override(task_id=name)()
        before >> after
        if name == "convert_currency":
            rates >> after
        before = after


@dag(dag_id="flaky_api", tags=["stories", "retries"], **COMMON)
def flaky_api():
    @task(retries=2, retry_delay=timedelta(seconds=1))
    def fetch_prices(ti=None) -> None:
        if ti.try_number < 3:
            raise ConnectionResetError("connection reset by prices.example:443")
        raise PermissionError("prices.example answered 403: the API key is revoked")

    fetch_prices()


def region_of(row: dict) -> str:
    return row["region_code"]


@dag(dag_id="publish_report", tags=["stories", "chained"], **COMMON)
def publish_report():
    @task
    def publish() -> None:
        try:
            region_of({"report": 41})
        except KeyError as error:
            raise RuntimeError("report 41 could not be published") from error

    publish()


@dag(dag_id="ledger", tags=["stories", "depends"], catchup=False, **COMMON)
def ledger():
    @task(depends_on_past=True)
    def post_entries(dag_run=None) -> None:
        if dag_run.conf.get("broken"):
            raise ArithmeticError("ledger is out of balance by 17.20 EUR")

    post_entries()


nightly_chain()
flaky_api()
publish_report()
ledger()
