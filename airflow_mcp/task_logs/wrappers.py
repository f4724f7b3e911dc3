"""Recognise exceptions that say only that a command or a remote job failed: its own output holds the cause.

Each entry names the operators, the provider's file that raises it (apache-airflow-providers-*), and its words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_mcp.task_logs.exception_chain import LoggedException
from airflow_mcp.task_logs.generic_errors import is_generic, names_no_fault


@dataclass(frozen=True)
class Wrapper:
    """An exception of an operator that stands for another program's failure."""

    operator: str
    source: str
    words: re.Pattern[str]  # at the start of "Type: message"; what follows may say more


def _build_wrapper(operator: str, source: str, words: str) -> Wrapper:
    return Wrapper(operator, source, re.compile(rf"(?:\w+: )?(?:{words})", re.DOTALL))


WRAPPERS = (
    _build_wrapper("Bash", "standard/operators/bash.py", r"Bash command failed\. The command returned a non-zero exit code -?\d+\.?"),
    _build_wrapper("SSH", "ssh/operators/ssh.py", r"SSH operator error: (?:exit status = -?\d+|SSH command (?:returned|failed).*?\d+)\.?"),
    _build_wrapper("SSH", "ssh/operators/ssh.py, 3.x", r"error running cmd: .*?, error: (?:b''|None|$)"),
    _build_wrapper("Docker", "docker/operators/docker.py", r"Docker container failed: \{.*?'StatusCode': -?\d+.*?\}(?: lines)?"),
    _build_wrapper("KubernetesPod", "cncf/kubernetes/operators/pod.py", r"Pod \S+ returned a failure\.(?=\s|$)"),
    _build_wrapper("Virtualenv", "standard/operators/python.py, utils/process_utils.py", r"Process returned non-zero exit status -?\d+\.?"),
    _build_wrapper("subprocess", "CPython's subprocess.py", r"Command .* (?:returned non-zero exit status -?\d+\.?|died with <?Signals?[.\w]* ?:?.*?>?\.)$"),
    _build_wrapper("SparkSubmit", "apache/spark/hooks/spark_submit.py", r"Cannot execute: .*?(?:\. )?Error code is: -?\d+\.?"),
    _build_wrapper("SparkSubmit", "apache/spark/hooks/spark_submit.py", r"ERROR : Driver \S* badly exited with status \w+"),
    _build_wrapper("SparkSql", "apache/spark/hooks/spark_sql.py", r"Cannot execute '.*?' on .*?\. Process exit code: -?\d+\.?"),
    _build_wrapper("Databricks", "databricks/operators/databricks.py", r"\S* ?(?:\w+ )?(?:failed|Job run failed) with terminal state: "),
    _build_wrapper("Databricks", "databricks/operators/databricks.py", r"(?:Job run failed|Run .*? failed|Task \S+ failed) (?:with terminal state|and )"),
    _build_wrapper("EMR", "amazon/operators/emr.py", r"(?:EMR (?:job|step|containers? job|job flow|serverless application) .*?failed|Final state of EMR .*? is FAILED)\S*"),
    _build_wrapper("EMR", "amazon/operators/emr.py", r"EMR Containers job failed\. Final state is \w+\.(?: query_execution_id is \S+\.)?(?: Error:)?"),
    _build_wrapper("AWS", "amazon/aws/utils/waiter.py, botocore", r"(?:Waiter \w+ failed: )?Waiter (?:encountered a terminal failure state|error: max attempts reached)"),
    _build_wrapper("Glue", "amazon/aws/hooks/glue.py", r"(?:Exiting Job \S+ Run State: \w+|Job \S+ Failed|AWS Glue job (?:has )?failed)\.?"),
    _build_wrapper("ECS", "amazon/aws/operators/ecs.py", r"This task is not in success state(?: - last \d+ logs from Cloudwatch:)?"),
    _build_wrapper("Batch", "amazon/aws/operators/batch.py", r"AWS Batch job \(\S+\) failed:?"),
    _build_wrapper("Dataproc", "google/cloud/operators/dataproc.py", r"(?:Dataproc )?(?:Job|Batch job \S+|Batch) failed(?: with error)?:?(?:\s|$)"),
    _build_wrapper("Dataflow", "google/cloud/hooks/dataflow.py", r"Google Cloud Dataflow job \S+ (?:has failed|is in an unexpected terminal state: \w+)\.?"),
    _build_wrapper("Beam", "apache/beam/hooks/beam.py", r"Apache Beam process failed with return code -?\d+"),
    _build_wrapper("DbtCloud", "dbt/cloud/operators/dbt.py", r"Job run -?\d+ has (?:failed or has been cancelled|failed|been cancelled)\.?"),
    _build_wrapper("Cosmos", "astronomer-cosmos, operators/local.py", r"dbt (?:command|invocation) (?:failed|did not complete|completed with errors)[^:]*(?:: node: )?(?:\. The command returned a non-zero exit code -?\d+\.(?: Details: )?)?:? ?"),
    _build_wrapper("papermill", "papermill's exceptions.py", r"\s*-{20,}\s*Exception encountered at \"In \[.*?\]\":\s*-{20,}"),
    _build_wrapper("Livy", "apache/livy/operators/livy.py", r"Batch \S+ did not succeed\.?"),
    _build_wrapper("DataFactory", "microsoft/azure/operators/data_factory.py", r"Pipeline run \S+ has failed or has been cancelled\.?"),
    _build_wrapper("ContainerInstances", "microsoft/azure/operators/container_instances.py", r"Container had a non-zero exit code, -?\d+"),
    _build_wrapper("WinRM", "microsoft/winrm/operators/winrm.py", r"Error running cmd: .*?, return code: -?\d+, error: (?:b''|$)"),
    _build_wrapper("Airbyte", "airbyte/operators/airbyte.py", r"Job [Ff]ailed:?(?:\s+.*)?$"),
    _build_wrapper("Http", "http/hooks/http.py", r"\d{3}:[A-Z][\w -]*$"),
    _build_wrapper("Singularity, Nomad, Yandex", "their operators", r"(?:Singularity|Nomad|Yandex) .*? failed\.?"),
    _build_wrapper("Papermill, Jupyter", "nbclient's exceptions.py", r"An error occurred while executing the following cell:\s*-{10,}.*?-{10,}\s*"),
    _build_wrapper("Python", "Airflow 2's taskinstance.py", r"Task failed due to SystemExit\(.*\)$"),
    _build_wrapper("Py4J", "PySpark's py4j/protocol.py", r"An error occurred while calling \S+?\.(?=\s|$)"),
    _build_wrapper("Trigger", "both: baseoperator.py, task-sdk operator.py", r"Trigger failure$"),
    _build_wrapper("concurrent.futures", "CPython's concurrent/futures/process.py", r"\s*\"\"\"\s*"),
)  # fmt: skip
_REST = re.compile(r"[\s:.,;-]*")


def find_wrapper(exception: LoggedException) -> tuple[Wrapper, str] | None:
    """Return the wrapper that an exception is, and the rest of its message behind the wrapper's words; or None."""
    for wrapper in WRAPPERS:
        if match := wrapper.words.match(exception.text):
            rest = exception.text[match.end() :]
            return wrapper, rest[_REST.match(rest).end() :]  # pyright: ignore[reportOptionalMemberAccess]
    return None


def is_silent(exception: LoggedException) -> bool:
    """Tell whether an exception names no fault: a wrapper without more words, or "RuntimeError: Job failed"."""
    if exception.members:
        return False
    if found := find_wrapper(exception):
        return is_generic(found[1])
    if not exception.text.strip():
        return True
    if names_no_fault(exception.kind):
        return is_generic(exception.message) and "\n" not in exception.message.strip()
    return False
