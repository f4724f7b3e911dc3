"""A login whose library hangs keeps nobody waiting beyond its time, and nobody who leaves."""

from __future__ import annotations

import threading

import anyio
import pytest

from airflow_mcp.airflow.auth.blocking_login import run_in_thread
from airflow_mcp.errors import LoginError

pytestmark = pytest.mark.anyio


async def test_a_login_that_hangs_is_given_up_and_said() -> None:
    answered = threading.Event()
    try:
        with pytest.raises(LoginError, match=r"AWS did not answer within 0.05 seconds\. Can it be reached from here\?"):
            await run_in_thread(answered.wait, "AWS", seconds=0.05)
    finally:
        answered.set()


async def test_who_leaves_need_not_wait_for_it() -> None:
    answered = threading.Event()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(run_in_thread, answered.wait, "AWS")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert not answered.is_set()
    finally:
        answered.set()


async def test_what_it_gives_is_given() -> None:
    assert await run_in_thread(lambda: "a token", "AWS") == "a token"
