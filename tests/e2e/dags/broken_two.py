"""A DAG file that does not import: two of two."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

import module_that_is_missing_two

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag


@dag(dag_id="broken_two", schedule=None)
def broken():
    module_that_is_missing_two.task()


broken()
