"""The Airflow with FAB that the tests start: its packages, and the option that makes FAB its auth manager."""

from dataclasses import replace
from pathlib import Path

from airflow_mcp.demo.install import find_release

FAB = replace(find_release("3.3.2"), variant="fab", locks=Path(__file__).parent)
MANAGER = {"AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"}
