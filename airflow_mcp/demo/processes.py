"""Child processes that never outlive this one: each has a mark in its environment, by which all of them are found."""

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
"""Takes the step that begins now, in a few words without a full stop ("starting Airflow")."""


class DemoError(AirflowMcpError):
    """The local Airflow cannot be installed, started or stopped, or the story on it went wrong."""


class FolderBusyError(DemoError):
    """Another process holds the folder."""


def find_marked(mark: str) -> set[int]:
    """Return the ids of all our running processes that carry `mark`, whatever their parent.

    Process groups do not cover them all, since Airflow moves its tasks and parsers to groups of their own, and a
    process id from a file may belong to another program by now. Every descendant inherits the mark, and nothing else.
    """
    needle = f"{MARK}={mark}".encode()
    if Path("/proc/self/environ").exists():
        process_ids = {
            int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _carries(entry, needle)
        }
    else:
        listing = subprocess.run(["/bin/ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=True).stdout
        process_ids = {int(line.split(maxsplit=1)[0]) for line in listing.splitlines() if needle in line.split()}
    return process_ids - {os.getpid()}


def _carries(process: Path, needle: bytes) -> bool:
    try:
        return needle in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's: not one of ours
        return False


def end_marked(mark: str, grace: float = 5.0) -> None:
    """End every process with `mark`: SIGTERM, wait up to `grace` seconds, then SIGKILL, new children included.

    Raises:
        DemoError: some are still running after 10 seconds of SIGKILL.
    """
    grace_deadline = time.monotonic() + grace
    _signal(find_marked(mark), signal.SIGTERM)
    while (process_ids := find_marked(mark)) and time.monotonic() < grace_deadline:
        time.sleep(0.1)
    kill_deadline = time.monotonic() + 10
    while process_ids and time.monotonic() < kill_deadline:
        _signal(process_ids, signal.SIGKILL)
        time.sleep(0.05)
        process_ids = find_marked(mark)
    if process_ids:
        raise DemoError(f"Processes {sorted(process_ids)} of the local Airflow do not end; end them with `kill -9`.")


def _signal(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue  # it has ended by itself


@contextmanager
def hold_lock(lock_file: Path, on_busy: Callable[[], None]) -> Generator[int]:
    """Lock `lock_file` for the block and give its file descriptor; the lock ends with the process, even by kill -9.

    `on_busy` is called when another process holds the lock: it may raise to give up, or return to wait.
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
    """Run `command` and return its output; the file descriptors `keep` stay open in it.

    Raises:
        DemoError: it cannot be started or fails; the sentence starts with `doing` and quotes the end of the output.
    """
    words = [str(word) for word in command]
    # In a session of its own: Ctrl-C in the terminal reaches this process only, which kills the whole group.
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
    """Return the last lines of `text` that are not blank, indented."""
    tail = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in tail) or "    (nothing)"
