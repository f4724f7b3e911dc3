"""A DAG with secrets wherever one can be: the words in pointed brackets are replaced before Airflow sees this file."""

# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false

from __future__ import annotations

import logging

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2
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
    @task
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

    fall(sing("{{ dag_run.conf['rendered'] }}"))


canaries()
