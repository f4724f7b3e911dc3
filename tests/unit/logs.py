"""Task logs as Airflow 2.11 and 3.3 write them, for a test to fill, and an Airflow that has one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.unit.assistant import assistant
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import task_instance

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


def word(number: int) -> str:
    """A word without digits, another one for each number, so that lines with it are not folded."""
    letters = ""
    while number >= 0:
        letters = chr(ord("a") + number % 26) + letters
        number = number // 26 - 1
    return letters


class Form:
    """How one generation writes what a test says."""

    def __init__(self, version: str) -> None:
        self.structured = version.startswith("3")
        self.fail: Callable[..., str] = raised if self.structured else printed

    def say(self, text: str, level: str = "info", source: str = "") -> str:
        """A line; `source` is a logger of 3.x or a file of 2.x."""
        if self.structured:
            return row(text, level, **({"logger": source} if source else {}))
        made = line(text, level.upper())
        return made.replace("etl.py:20", source) if source else made

    def handled(self, *failures: tuple[str, str], text: str, level: str = "error") -> str:
        """An exception that the task logged and survived."""
        if self.structured:
            return raised(*failures, level=level, event=text)
        return printed(*failures, level=level.upper(), text=text)


FORMS = {version: Form(version) for version in ("2.11.2", "3.3.2")}


def airflow_with(version: str, log: Any, **instance: Any) -> FakeAirflow:
    """An Airflow whose task instance etl/r/load has this log for its only try."""
    airflow = FakeAirflow(version).on("GET", INSTANCE, task_instance("load", **instance))
    return airflow.on("GET", f"{INSTANCE}/logs/1", log if isinstance(log, Reply) else Reply(200, log))


async def read(version: str, log: str | bytes, /, state: str = "failed", **arguments: Any) -> dict[str, Any]:
    """What an assistant is told about that log."""
    async with assistant(airflow_with(version, log, state=state)) as someone:
        return await someone.ask("read_task_log", **PATHS, **arguments)
