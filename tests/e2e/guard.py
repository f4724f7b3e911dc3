"""Run as a program beside the tests: when they are gone, however they went, ends what is left of their Airflows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from airflow_mcp.demo.airflow_home import HomeMemory
from airflow_mcp.demo.processes import end_marked


@contextmanager
def guarded(homes: list[Path]) -> Generator[None]:
    """For the block, have these homes' Airflows ended should this process be killed."""
    command = [sys.executable, __file__, *map(str, homes)]
    # A session of its own: Ctrl-C reaches the tests, which then stop everything themselves.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield  # leaving closes the pipe, and so would our end


def end_all(homes: list[Path]) -> None:
    """End every process of these homes' Airflows."""
    for home in homes:
        if (home / "memory.json").exists():
            end_marked(HomeMemory.load(home).mark)


if __name__ == "__main__":
    sys.stdin.read()
    end_all([Path(home) for home in sys.argv[1:]])
