"""Trigger a DAG run exactly once: it carries our own run id, by which it is read back where the answer is lost."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.dispatch.workflow_context import WorkflowContext
from airflow_mcp.errors import (
    AirflowMcpError,
    AirflowUnreachableError,
    InvalidArgumentsError,
    UnusableAnswerError,
)
from airflow_mcp.workflows.shared.params import check_conf

_DEFAULT_PATTERN = r"[A-Za-z0-9_.~:+-]+"  # [scheduler] allowed_run_id_pattern


_FAILED = 500


@dataclass(frozen=True)
class TriggerReadiness:
    """A DAG that may be triggered with this conf: whether it is paused, and a hint about the conf."""

    is_paused: bool
    hint: str | None


async def check_trigger(context: WorkflowContext, tool: str, arguments: Json) -> TriggerReadiness:
    """Read the DAG and its params, and check the conf by them, in two reads, before anything is sent.

    Raises NotFoundError for an unknown DAG and InvalidArgumentsError for a conf that the DAG does not take. Where the
    params cannot be read the conf goes unchecked, and Airflow checks it alone.
    """
    dag_id, conf = arguments["dag_id"], arguments.get("conf") or {}
    dag = await context.read_record("get_dag", dag_id=dag_id)
    try:
        details = await context.read_record("get_dag_details", dag_id=dag_id)
    except AirflowMcpError as error:
        hint = f"conf was not checked: {error}" if conf else None
    else:
        show_call = next_call("get_dag_overview", "shows every param", dag_id=dag_id)
        hint = check_conf(tool, details.get("params") or {}, conf, context.version.generation, show_call)
    return TriggerReadiness(bool(dag.get("is_paused")), hint)


async def trigger_run(context: WorkflowContext, tool: str, arguments: Json) -> Json:
    """Trigger the run and return it, read back by its id where the answer could not be used.

    Raises UnusableAnswerError and AirflowUnreachableError when the run does not exist so far or that is not known, and
    InvalidArgumentsError when Airflow 2 fails on an unusual run id.
    """
    run_id: str = arguments.get("dag_run_id") or _make_run_id()
    body: Json = {"conf": {}, **arguments, "dag_run_id": run_id}
    body.setdefault("logical_date", None)  # 3.x wants the key; 2.x must not have it, and nulls are not sent there
    try:
        return await context.read_record("post_dag_run", **body)
    except UnusableAnswerError as error:
        if (
            error.status == _FAILED
            and context.version.generation == "v1"
            and not re.fullmatch(_DEFAULT_PATTERN, run_id)
        ):
            raise InvalidArgumentsError(
                f"{tool}: Airflow 2 fails on the dag_run_id {run_id[:80]!r}. Use letters, digits "
                "and _.~:+- only, or leave it out."
            ) from None
        error.args = (f"{error} {_advise_retry(run_id)}",)
        raise
    except AirflowUnreachableError as error:
        if error.sent:
            error.args = (f"{error} {_advise_retry(run_id)}",)
        raise


def _advise_retry(run_id: str) -> str:
    return f"Calling again with dag_run_id {run_id!r} is safe: it cannot start a second one."


def _make_run_id() -> str:
    """Make a run id: unique, sortable, of the characters that [scheduler] allowed_run_id_pattern takes by default."""
    return f"mcp__{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}"
