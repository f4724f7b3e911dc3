"""A DAG that shows secrets everywhere a careless one does: XComs, log lines, the exception."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false

from __future__ import annotations

import logging

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

log = logging.getLogger("airflow.task")


@dag(dag_id="leaking", schedule=None, is_paused_upon_creation=False, tags=["e2e"], default_args={"owner": "cellar"})
def leaking():
    @task
    def leak(params: dict | None = None, dag_run=None, ti=None) -> dict:
        canary = dag_run.conf["password"]
        # In two halves where Airflow's own masking would know the whole.
        address = f"postgresql://cellar:{canary}@db.example.invalid/wine"
        ti.xcom_push(key="api_key", value=canary)
        ti.xcom_push(key="plain", value=f"connect with {address}")
        log.info("connecting to %s", address)
        log.info("Authorization: Bearer %s", canary)
        return {"password": canary, "bottles": 12, "deep": [{"access_token": canary}]}

    @task
    def break_off(_: dict, dag_run=None) -> None:
        raise ConnectionError(f"no route to https://cellar:{dag_run.conf['password']}@db.example.invalid")

    break_off(leak())


leaking()
