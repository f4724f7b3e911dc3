"""DAGs that fail each in its own way: commands, chains, groups, remote jobs, ends without an exception."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

import logging
import sys
import traceback

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.operators.bash import BashOperator

from airflow.exceptions import AirflowException

COMMON = {"schedule": None, "is_paused_upon_creation": False, "tags": ["causes"]}
PSQL = "echo BEGIN; echo 'psql:/sql/tide.sql:7: ERROR:  {0}'; echo 'LINE 1: select'; echo '   ^'; echo ROLLBACK; exit 3"


class ReefError(Exception):
    pass


@dag(dag_id="cause_command", **COMMON)
def command():
    BashOperator.partial(task_id="load").expand(
        bash_command=[
            PSQL.format('column "depth_m" does not exist'),
            PSQL.format("permission denied for schema harbour"),
        ]
    )


@dag(dag_id="cause_chained", **COMMON)
def chained():
    @task
    def dock() -> None:
        try:
            {}["berth"]
        except KeyError as error:
            raise RuntimeError("the ship cannot dock") from error

    dock()


@dag(dag_id="cause_groups", **COMMON)
def groups():
    @task
    def sound() -> None:
        inner = ExceptionGroup("bay 2", [ValueError("bay 2: the lead line is cut")])
        try:
            raise ExceptionGroup("unhandled errors in a TaskGroup", [inner, TimeoutError("bay 5: no echo in 30 s")])
        except ExceptionGroup as error:
            raise RuntimeError("the sounding failed") from error

    sound()


@dag(dag_id="cause_first_line", **COMMON)
def first_line():
    @task
    def query(what: str) -> None:
        raise ReefError(f"001003 (42000): 01b2-77: SQL compilation error:\n{what}")

    query.expand(what=["syntax error line 3 at position 8 unexpected 'FRM'.", "Object 'BAY.BUOYS' does not exist."])


@dag(dag_id="cause_nested", **COMMON)
def nested():
    @task
    def hand_on(what: str) -> None:
        try:
            raise ConnectionError(what)
        except ConnectionError:
            text = traceback.format_exc()
        raise AirflowException(text)

    hand_on.expand(what=["buoys of the outer bay may not be listed", "the pilot boat vanished"])


@dag(dag_id="cause_remote", **COMMON)
def remote():
    @task
    def submit(what: str) -> None:
        name = "airflow.providers.apache.spark.hooks.spark_submit.SparkSubmitHook"
        log = logging.getLogger(f"airflow.task.hooks.{name}")
        log.info("26/11/02 10:00:01 INFO SparkContext: Running Spark version 3.5.1")
        log.info('Exception in thread "main" %s', what)
        for number in range(3):
            log.info("\tat org.apache.spark.sql.Step%d.apply(Step.scala:%d)", number, number)
        log.info("26/11/02 10:00:59 INFO ShutdownHookManager: Shutdown hook called")
        raise AirflowException("Cannot execute: spark-submit --name tide /app/job.py. Error code is: 1.")

    submit.expand(
        what=[
            "org.apache.spark.sql.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] Table `bay`.`buoys` cannot be found.",
            "java.lang.OutOfMemoryError: GC overhead limit exceeded",
        ]
    )


@dag(dag_id="cause_exit", **COMMON)
def exits():
    @task
    def moor() -> None:
        print("reading the settings of the quay")
        sys.exit("setting QUAY is missing")

    moor()


@dag(dag_id="cause_long", **COMMON)
def long():
    @task
    def weigh() -> None:
        raise ValueError("manifest rejected: " + "x" * 90_000 + " reason: field 'tonnage' is not valid")

    weigh()


for build in (command, chained, groups, first_line, nested, remote, exits, long):
    build()
