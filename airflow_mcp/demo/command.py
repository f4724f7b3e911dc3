"""The command `airflow-mcp demo`: install, start, play the story, print how to connect, stay until Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from airflow_mcp.demo.airflow_home import HomeMemory
from airflow_mcp.demo.install import DEFAULT_VERSION, find_cache_folder, find_release
from airflow_mcp.demo.local_airflow import LocalAirflow
from airflow_mcp.demo.processes import DemoError, FolderBusyError, end_marked, hold_lock
from airflow_mcp.demo.story import DemoConnection, play

SAMPLES = Path(__file__).parent / "dags"
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C interrupted."""


def demo(*, airflow_version: str = DEFAULT_VERSION, once: bool = False, clean: bool = False) -> int:
    """Run the demo and return its exit code: 0 for success, 1 for an error, 130 when interrupted.

    With `once` it ends after the story instead of at Ctrl-C (SIGTERM and a closed terminal count as Ctrl-C);
    with `clean` it only removes everything that demos have installed or written.
    """
    console = Console()
    cache = find_cache_folder()
    try:
        with _signals_as_interrupt():
            return _clean(cache, console) if clean else _demo(airflow_version, cache, console, once)
    except DemoError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except OSError as error:
        message = f"The demo cannot use its folder {cache}: {error}. Set AIRFLOW_MCP_DEMO_HOME to another one."
        console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("The demo was interrupted; nothing of it is running any more.")
        return INTERRUPTED


def _demo(version: str, cache: Path, console: Console, once: bool) -> int:
    home = cache / "homes" / f"airflow-{find_release(version).version}"
    # A copy, so that the DAG files stay at one path whatever environment runs the demo.
    shutil.copytree(SAMPLES, home / "dags", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    with Steps(console) as step, LocalAirflow.start(version, home, home / "dags", step, cache=cache) as airflow:
        step.end()
        connection = DemoConnection(airflow.url, airflow.username, airflow.password)
        try:
            play(connection, console, airflow.find_log_file("airflow-mcp"))
            if not once:
                _stay(airflow, connection, console)
        finally:
            step("stopping Airflow")
    return 0


def _stay(airflow: LocalAirflow, connection: DemoConnection, console: Console) -> None:
    console.print("\n[bold]Connect your own MCP client:[/] put this into its settings.")
    console.print(connection.write_client_config(), markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"Airflow {airflow.version} is at {airflow.url}, user {airflow.username}, password {airflow.password}. "
        "Ctrl-C stops it.",
        markup=False,
        soft_wrap=True,
    )
    try:
        while True:
            airflow.check()
            time.sleep(1)
    except KeyboardInterrupt:  # the intended end
        console.print()


def _clean(cache: Path, console: Console) -> int:
    """Remove the files of demos; the folder itself only when it is empty, since it may hold others."""
    folders = [cache / name for name in ("environments", "databases", "homes")]
    with ExitStack() as locks:
        for lock in [*cache.glob("homes/*/lock"), *cache.glob("environments/*.lock")]:
            locks.enter_context(hold_lock(lock, lambda lock=lock: _refuse_clean(lock)))
        for home in cache.glob("homes/*"):
            end_marked(HomeMemory.load(home).mark)
        for folder in folders:
            if folder.exists():
                shutil.rmtree(folder)
    if cache.exists() and not any(cache.iterdir()):
        cache.rmdir()
    console.print(f"Removed the demo's files from {cache}.", markup=False, soft_wrap=True)
    return 0


def _refuse_clean(lock: Path) -> NoReturn:
    raise FolderBusyError(f"A demo is using {lock.parent}; stop it first (Ctrl-C where it was started), then clean.")


class Steps:
    """Shows the current step with its duration, live on a terminal, else as plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Progress | None = None
        self._text = ""
        self._began = 0.0

    def __call__(self, text: str) -> None:
        """End the current step, if any, and begin the step `text`."""
        self.end()
        self._text, self._began = text, time.monotonic()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._live = Progress(*columns, console=self._console, transient=True)
            self._live.add_task(text, total=None)
            self._live.start()
        else:
            self._console.print(f"{text} ...", markup=False, highlight=False, soft_wrap=True)

    def end(self, mark: str = "✓") -> None:
        """End the current step, if any."""
        if self._live:
            self._live.stop()
            self._live = None
        if self._text:
            line = f"{mark} {self._text} ({time.monotonic() - self._began:.0f} s)"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._text = ""

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end("✗" if kind else "✓")


@contextmanager
def _signals_as_interrupt() -> Generator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C in the block, by SIGINT's handler, which the event loop may have set."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # a shell starts background commands with SIGINT ignored
            raise KeyboardInterrupt
        handler(number, frame)

    handlers = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
