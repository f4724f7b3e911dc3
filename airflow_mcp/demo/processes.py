"""Child processes that never outlive us: each carries a mark in its environment, by which all of them are found."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from airflow_mcp.errors import AirflowMcpError

MARK = "AIRFLOW_MCP_DEMO_MARK"

Report = Callable[[str], None]
"""Told what begins now, in a few words without a full stop ("starting Airflow")."""


class DemoError(AirflowMcpError):
    """The local Airflow cannot be installed, started or stopped, or the story on it went wrong."""


class FolderBusyError(DemoError):
    """Another process holds the folder."""


def find_marked(mark: str) -> set[int]:
    """The process ids of every running process of ours that carries `mark`, whoever its parent is.

    Process groups do not find them all, since Airflow moves its tasks and parsers to groups of their own, and a
    process id from a file may belong to a stranger by now. A mark is inherited by every descendant and by nobody else.
    """
    needle = f"{MARK}={mark}".encode()
    if Path("/proc/self/environ").exists():
        found = {
            int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _carries(entry, needle)
        }
    else:
        listing = subprocess.run(["/bin/ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=True).stdout
        found = {int(line.split(maxsplit=1)[0]) for line in listing.splitlines() if needle in line.split()}
    return found - {os.getpid()}


def _carries(process: Path, needle: bytes) -> bool:
    try:
        return needle in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or another user's: not one of ours either way
        return False


def end_marked(mark: str, grace: float = 5.0) -> None:
    """End every process that carries `mark`: ask, wait up to `grace` seconds, then kill, children born meanwhile too.

    Raises:
        DemoError: some are still there 10 seconds after being killed.
    """
    asked_until = time.monotonic() + grace
    _signal(find_marked(mark), signal.SIGTERM)
    while (left := find_marked(mark)) and time.monotonic() < asked_until:
        time.sleep(0.1)
    killed_until = time.monotonic() + 10
    while left and time.monotonic() < killed_until:
        _signal(left, signal.SIGKILL)
        time.sleep(0.05)
        left = find_marked(mark)
    if left:
        raise DemoError(f"Processes {sorted(left)} of the local Airflow do not end; end them with `kill -9`.")


def _signal(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue  # it ended by itself, which is what we want


@contextmanager
def hold_lock(lock_file: Path, on_busy: Callable[[], None]) -> Generator[int]:
    """Hold `lock_file` for the block and give its file descriptor; a process killed with -9 gives it up too.

    `on_busy` is called when another process holds it: it may raise to give up, or return to wait.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_busy()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def run_to_end(
    command: Sequence[str | Path],
    *,
    doing: str,
    cwd: Path,
    env: Mapping[str, str],
    stdin: str = "",
    keep: Sequence[int] = (),
) -> str:
    """Run `command` and give its output; the file descriptors `keep` stay open in it.

    Raises:
        DemoError: it cannot be started or fails; the sentence starts with `doing` and quotes the end of the output.
    """
    words = [str(word) for word in command]
    # A session of its own: Ctrl-C in the terminal reaches us only, and we end the whole group.
    try:
        process = subprocess.Popen(  # noqa: S603 - the commands are ours
            words,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise DemoError(f"{doing} failed: {words[0]} cannot be started ({error.strerror}).") from error
    try:
        output, _ = process.communicate(stdin)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise DemoError(f"{doing} failed with exit code {process.returncode}; its output ends:\n{read_tail(output)}")
    return output


def read_tail(text: str, lines: int = 12) -> str:
    """The last lines of `text` that are not blank, indented."""
    kept = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in kept) or "    (nothing)"
