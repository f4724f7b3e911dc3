"""A log of over 20,000 lines with harmless errors before and after the one that counts, which stands in its middle."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

from __future__ import annotations

import logging

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

log = logging.getLogger("airflow.task")

ROWS = 12_000
LEFTOVERS = 9_000


def send(row: int) -> None:
    if row == 4_000:
        try:
            raise ConnectionResetError("connection reset by partner.example:22")
        except ConnectionResetError:
            log.exception("sending row %d failed, trying again on a new connection", row)
    if row % 1_000 == 0:
        log.warning("error rate of the last 1000 rows: 0.0 percent, errors: 0")
    elif row % 10 == 0:
        log.info("row %d sent, no error", row)
    else:
        log.info("row %d sent", row)


def sweep(_context: object) -> None:
    for number in range(1, LEFTOVERS + 1):
        log.info("swept part-%05d.tmp, error code 0", number)
        if number == 5_000:
            try:
                raise FileNotFoundError("part-05000.lock is gone already")
            except FileNotFoundError:
                log.warning("error while sweeping, ignored", exc_info=True)


@dag(
    dag_id="export_everything",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["stories", "noisy"],
    default_args={"owner": "partner-exports"},
)
def export_everything():
    @task(on_failure_callback=sweep)
    def export() -> None:
        for row in range(1, ROWS + 1):
            send(row)
        raise OverflowError("amount of order 88121 does not fit in DECIMAL(8,2)")

    export()


export_everything()
