"""A DAG file that does not import: one of two."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

import module_that_is_missing_one

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag


@dag(dag_id="broken_one", schedule=None)
def broken():
    module_that_is_missing_one.task()


broken()
