"""DAGs with secrets wherever one can be: the words in pointed brackets are replaced before Airflow sees this file."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false

from __future__ import annotations

import logging
from datetime import UTC, datetime

from bakery import Perch

try:
    from airflow.sdk import Asset, Param, dag, task
except ImportError:  # Airflow 2
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task
    from airflow.models.param import Param

log = logging.getLogger("airflow.task")
settings: dict[str, str] = {}

SOURCE = """
<<source>>
"""
DOC = """
<<doc>>
"""
DEFAULT = """
<<param>>
"""
TASK_DOC = """
<<task doc>>
"""
LAID = """
<<asset>>
"""
SUBJECT = """
<<subject>>
"""
BODY = """
<<body>>
"""
CHOICE = """
<<choice>>
"""
NEST, EGG = Asset("x-canaries://nest", extra={"words": LAID}), Asset("x-canaries://egg")
START = datetime(2026, 1, 1, tzinfo=UTC)  # needed by Airflow 2 where there is a schedule


def connect(password: str) -> None:
    pass


# <<code>>


@dag(
    dag_id="canaries",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["e2e"],
    default_args={"owner": "aviary"},
    doc_md=DOC,
    params={"birds": Param(3, type="integer"), "words": Param(DEFAULT, type="string")},
)
def canaries():
    @task(doc_md=TASK_DOC)
    def sing(words: str, dag_run=None, ti=None) -> dict:
        conf = dag_run.conf
        for line in conf["log"]:
            log.info(line)
        for line in conf["print"].splitlines():
            print(line)
        ti.xcom_push(key="text", value=conf["text"])
        return conf["xcom"]

    @task
    def fall(_: dict, dag_run=None) -> None:
        raise RuntimeError(dag_run.conf["exception"])

    @task(outlets=[NEST])
    def echo(word: str) -> None:
        print("echoed")

    fall(sing("{{ dag_run.conf['rendered'] }}"))
    echo.expand(word=["{{ dag_run.conf['mapped'] }}"])
    Perch(task_id="perch")


def resting(dag_id: str, *assets: Asset) -> None:
    """A DAG that waits for assets."""

    @dag(dag_id=dag_id, schedule=[*assets], start_date=START, is_paused_upon_creation=False, tags=["e2e"])
    def waiting():
        @task
        def rest() -> None:
            print("rested")

        rest()

    waiting()


canaries()
resting("canaries_nesting", NEST)
resting("canaries_brooding", NEST, EGG)

try:
    from airflow.providers.standard.operators.hitl import HITLOperator
except ImportError:  # before 3.1
    pass
else:

    @dag(dag_id="canaries_asking", schedule=None, is_paused_upon_creation=False, tags=["e2e"])
    def asking():
        words = {"words": Param(CHOICE, type="string")}
        HITLOperator(task_id="choose", subject=SUBJECT, body=BODY, options=["sing", "rest"], params=words)

    asking()
