"""A DAG file that does not import, and says secrets when it fails."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

assert dag
raise ConnectionError(
    """
<<import error>>
"""
)
