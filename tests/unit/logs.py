"""Task logs as Airflow 2.11 and 3.3 write them, for a test to fill."""

from __future__ import annotations

import json
from typing import Any

PATHS = {"dag_id": "etl", "dag_run_id": "r", "task_id": "load"}
INSTANCE = "/dags/etl/dagRuns/r/taskInstances/load"
MOMENT = "2026-11-21T22:58:19"


def row(event: str, level: str = "info", **fields: Any) -> str:
    """A line of 3.x."""
    made = {"timestamp": f"{MOMENT}.037Z", "event": event, "level": level, "logger": "task", **fields}
    return json.dumps(made, separators=(",", ":")) + "\n"


def raised(*failures: tuple[str, str], level: str = "error", event: str = "Task failed with exception") -> str:
    """An error of 3.x with its exceptions, the raised one first, each with a frame of a library and one of a DAG."""
    frames = [
        {"filename": "/opt/venv/lib/python3.11/site-packages/airflow/sdk/task_runner.py", "lineno": 9, "name": "run"},
        {"filename": "/opt/airflow/dags/etl.py", "lineno": 20, "name": "transform"},
    ]
    detail = [{"exc_type": kind, "exc_value": value, "frames": frames} for kind, value in failures]
    return row(event, level, error_detail=detail)


def line(text: str, level: str = "INFO") -> str:
    """A line of 2.x."""
    return f"[{MOMENT}.037+0000] {{etl.py:20}} {level} - {text}\n"


def printed(*failures: tuple[str, str], level: str = "ERROR", text: str = "Task failed with exception") -> str:
    """An error of 2.x with the traceback behind it: the raised exception, given first, is printed last."""
    frames = (
        '  File "/opt/venv/lib/python3.11/site-packages/airflow/models/taskinstance.py", line 776, in _execute_task\n'
        "    result = _execute_callable(context=context)\n"
        '  File "/opt/airflow/dags/etl.py", line 20, in transform\n'
        "    raise ValueError(x)\n"
    )
    traces = [f"Traceback (most recent call last):\n{frames}{kind}: {value}\n" for kind, value in reversed(failures)]
    between = "\nThe above exception was the direct cause of the following exception:\n\n"
    return line(text, level) + between.join(traces)
