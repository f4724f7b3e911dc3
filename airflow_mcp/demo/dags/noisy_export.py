"""Exports rows with a log line each: the cause of the failure lies hundreds of lines before the end of a long log."""

from __future__ import annotations

import logging

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

log = logging.getLogger("airflow.task")

ROWS = 19_400
TEMPORARY_FILES = 600


def write_row(row: int) -> None:
    if row == ROWS:
        raise OSError(f"row {row}: no space left on the export volume")
    log.info("exported row %d of %d", row, ROWS)


def remove_temporary_files(_context: object) -> None:
    for number in range(1, TEMPORARY_FILES + 1):
        log.info("removed temporary file part-%04d.tmp", number)


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    tags=["demo", "export"],
    default_args={"owner": "partner-exports"},
    doc_md="Writes every row to the partner's file and removes its temporary files when it fails.",
)
def noisy_export():
    @task(on_failure_callback=remove_temporary_files)
    def export_rows() -> None:
        for row in range(1, ROWS + 1):
            write_row(row)

    export_rows()


noisy_export()
