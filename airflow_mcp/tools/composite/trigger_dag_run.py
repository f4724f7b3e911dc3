"""Trigger a DAG run exactly once: it carries our own run id, so that a lost answer is settled by reading it back."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.errors import AirflowError, AirflowUnreachableError, InvalidArgumentsError, NotFoundError
from airflow_mcp.tools.inner import InnerDoor

_PAUSED = (
    "The DAG is paused, so the run stays queued. unpause_dag starts it; that also starts any other run that is due."
)
_DEFAULT_PATTERN = r"[A-Za-z0-9_.~:+-]+"  # [scheduler] allowed_run_id_pattern
_SHOWN = ("dag_id", "dag_run_id", "state", "run_type", "logical_date", "run_after", "conf", "note", "partition_key")


async def run(door: InnerDoor, arguments: Json) -> Json:
    """The new run; `hint` when the DAG is paused. Raises NotFoundError for an unknown DAG before anything is sent."""
    dag_id = arguments["dag_id"]
    dag = await door.one("get_dag", dag_id=dag_id)
    run_id: str = arguments.get("dag_run_id") or _new_run_id()
    body: Json = {"conf": {}, **arguments, "dag_run_id": run_id}
    body.setdefault("logical_date", None)  # 3.x wants the key; 2.x must not have it, and nulls are not sent there
    ids = {"dag_id": dag_id, "dag_run_id": run_id}
    try:
        made = await door.one("post_dag_run", **body)
    except AirflowError as error:
        if error.status < 500:
            raise
        if door.version.generation == "v1" and not re.fullmatch(_DEFAULT_PATTERN, run_id):
            raise InvalidArgumentsError(
                f"trigger_dag_run: Airflow 2 fails on the dag_run_id {run_id[:80]!r}. Use letters, digits "
                "and _.~:+- only, or leave it out."
            ) from None
        made = await _settle(door, ids, str(error))
    except AirflowUnreachableError as error:
        if not error.sent:
            raise
        made = await _settle(door, ids, str(error))
    return {name: made.get(name) for name in _SHOWN} | {"hint": _PAUSED if dag.get("is_paused") else None}


def _new_run_id() -> str:
    """Unique, sortable, and of the characters [scheduler] allowed_run_id_pattern takes by default."""
    return f"mcp__{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}"


async def _settle(door: InnerDoor, ids: Json, reason: str) -> Json:
    """The run, if the lost request made it; the original reason if it did not."""
    try:
        return await door.one("get_dag_run", **ids)
    except NotFoundError:
        raise AirflowError(
            f"{reason} Airflow has no run {ids['dag_run_id']!r} now. Calling again with this dag_run_id is safe: it "
            "cannot start a second one.",
            500,
        ) from None
