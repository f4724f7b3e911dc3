"""Failures from outside the code: a file, a connection, a template, a shell command, a conf, the machine."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportUnusedExpression=false

from __future__ import annotations

import gzip
import os
import signal
import time
from datetime import datetime, timedelta

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.sensors.python import PythonSensor
    from airflow.sdk import BaseHook, Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.hooks.base import BaseHook
    from airflow.models.param import Param
    from airflow.operators.bash import BashOperator
    from airflow.sensors.python import PythonSensor

COMMON = {"schedule": None, "is_paused_upon_creation": False, "default_args": {"owner": "platform"}}


@dag(dag_id="wait_for_file", tags=["stories", "sensor"], **COMMON)
def wait_for_file():
    arrived = PythonSensor(
        task_id="sales_csv_arrived", python_callable=lambda: False, mode="poke", poke_interval=0.5, timeout=1
    )
    arrived >> BashOperator(task_id="load_sales", bash_command="echo loaded")


@dag(dag_id="send_invoices", tags=["stories", "template"], **COMMON)
def send_invoices():
    BashOperator(task_id="render_invoice", bash_command="echo invoice of {{ customer.name }} for {{ ds_nodash }}")


@dag(dag_id="sync_crm", tags=["stories", "connection"], **COMMON)
def sync_crm():
    @task
    def push_contacts() -> None:
        print(BaseHook.get_connection("crm_prod").host)

    push_contacts()


@dag(dag_id="dump_database", tags=["stories", "bash"], **COMMON)
def dump_database():
    BashOperator(
        task_id="dump",
        bash_command='echo "dumping sales"; echo "pg_dump: error: database \\"sales_eu\\" does not exist" >&2; exit 3',
    )


@dag(
    dag_id="rebuild_day",
    tags=["stories", "conf"],
    params={
        "day": Param("2024-06-01", type="string", description="The day to rebuild, as YYYY-MM-DD"),
        "limit": Param(100, type="integer", minimum=1),
    },
    **COMMON,
)
def rebuild_day():
    @task
    def rebuild(params=None) -> str:
        return datetime.fromisoformat(params["day"]).date().isoformat()

    rebuild()


@dag(dag_id="import_orders", tags=["stories", "changed"], **COMMON)
def import_orders():
    @task
    def read_file(dag_run=None) -> int:
        name = dag_run.conf["file"]
        content = b"order,amount\n1,20\n"
        if name.endswith(".gz"):
            content = gzip.compress(content)
        print(f"reading {name}")
        return len(content.decode("utf-8").splitlines())

    read_file()


@dag(dag_id="crunch_images", tags=["stories", "killed"], **COMMON)
def crunch_images():
    @task
    def resize() -> None:
        print("resizing 4,000 images in memory", flush=True)
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out

    resize()


@dag(dag_id="too_slow", tags=["stories", "timeout"], dagrun_timeout=timedelta(seconds=15), **COMMON)
def too_slow():
    BashOperator(task_id="vacuum_tables", bash_command="echo vacuuming; exec sleep 90")


def crm_export(region: str, batch: int):
    @dag(dag_id=f"crm_export_{region}", tags=["stories", "twins"], **COMMON)
    def export():
        @task
        def send_batch() -> None:
            raise ConnectionRefusedError(f"crm.example:443 refused batch {batch}")

        send_batch()

    return export()


crm_export("eu", 1017)
crm_export("us", 2254)
wait_for_file()
send_invoices()
sync_crm()
dump_database()
rebuild_day()
import_orders()
crunch_images()
too_slow()
