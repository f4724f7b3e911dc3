"""How far one call travels: its way through the modules is pinned, and nothing is built anew for a second call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.operations.executor import OperationExecutor
from tests.architecture.test_architecture import LAYERS, PACKAGE
from tests.unit.assistant import open_door
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.samples import dag_run

pytestmark = pytest.mark.anyio
MOST_CHANGES = 178  # may only fall
LEAVES = {leaf for layer in LAYERS[-3:] for leaf in layer}


@contextmanager
def profiled(listener: Callable[[FrameType], None]) -> Generator[None]:
    """Tell of each function of ours that is entered or resumed in the block."""

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        del argument
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            listener(frame)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def module_of(frame: FrameType) -> str:
    return Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix()


async def test_one_call_crosses_few_modules_and_makes_no_new_executor() -> None:
    airflow = FakeAirflow("3.3.2").on("GET", "/dags/etl/dagRuns/r", dag_run("r"))
    dispatcher = open_door(airflow)
    call = {"dag_id": "etl", "dag_run_id": "r"}
    await dispatcher.call("get_dag_run", call, Caller())
    modules: list[str] = []
    made: list[str] = []

    def listen(frame: FrameType) -> None:
        module = module_of(frame)
        if module.split("/")[0].removesuffix(".py") not in LEAVES and module != (modules or [""])[-1]:
            modules.append(module)
        if frame.f_code is OperationExecutor.__init__.__code__:
            made.append(module)

    with profiled(listen):
        await dispatcher.call("get_dag_run", call, Caller())
    assert made == []
    assert len(modules) - 1 <= MOST_CHANGES, "\n".join(modules)
