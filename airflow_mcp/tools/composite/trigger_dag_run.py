"""Trigger a DAG run exactly once, with a conf that the DAG takes."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.tools.inner import InnerDoor
from airflow_mcp.tools.workflow.trigger import make_ready, trigger

_PAUSED = (
    "The DAG is paused, so the run stays queued. unpause_dag starts it; that also starts any other run that is due."
)
_SHOWN = ("dag_id", "dag_run_id", "state", "run_type", "logical_date", "run_after", "conf", "note", "partition_key")


async def run(door: InnerDoor, arguments: Json) -> Json:
    """The new run; `hint` when the DAG is paused or the conf odd. Raises what tools/workflow/trigger.py raises."""
    ready = await make_ready(door, "trigger_dag_run", arguments)
    made = await trigger(door, "trigger_dag_run", arguments)
    hints = [hint for hint in (_PAUSED if ready.is_paused else None, ready.hint) if hint]
    return {name: made.get(name) for name in _SHOWN} | {"hint": " ".join(hints) or None}
