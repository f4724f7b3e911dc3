"""Waits about a minute for a report: the DAG to stop half-way."""

from __future__ import annotations

import logging
import time

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

log = logging.getLogger("airflow.task")

POLLS = 60


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    tags=["demo", "reports"],
    default_args={"owner": "finance"},
    doc_md="Asks the reporting service every second whether the monthly report is ready; takes about a minute.",
)
def slow_report():
    @task
    def wait_for_report() -> None:
        for poll in range(1, POLLS + 1):
            log.info("report is not ready (poll %d of %d)", poll, POLLS)
            time.sleep(1)

    @task
    def send_report() -> None:
        log.info("report sent")

    wait_for_report() >> send_report()


slow_report()
